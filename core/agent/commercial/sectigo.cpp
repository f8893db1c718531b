#include "agent/commercial/sectigo.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace evercert {
namespace {

constexpr const char* ssl = "ssl/v1";
constexpr unsigned sectigo_rows = 200;
constexpr std::size_t sectigo_details = 50;
constexpr std::array<int, 5> of_login{-3, -16, -25, -37, -970};
constexpr std::array<int, 5> not_collectable_yet{-103, -109, -169, -183, -1400};
// Profile, term, organization, domain, custom fields and kinds of key: nothing changes before somebody corrects them.
constexpr std::array<int, 19> of_sectigo_settings{-11,  -13,  -36,  -39,  -62,  -78,   -111,  -141,  -170, -194,
                                                  -639, -715, -727, -738, -843, -1010, -1021, -1023, -7};
// Domains whose validation is missing or over: somebody has to validate them there.
constexpr std::array<int, 3> of_validation{-107, -724, -737};
constexpr std::array<int, 6> passing{-2, -65, -129, -140, -195, -196};
constexpr int unknown_order = -124;
constexpr int already_revoked = -159;

template <std::size_t count>
bool among(const std::array<int, count>& codes, std::int64_t code) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

const char* mode_word(ChallengeKind kind) {
  switch (kind) {
    case ChallengeKind::http_file:
      return "HTTP";
    case ChallengeKind::dns_cname:
      return "CNAME";
    case ChallengeKind::dns_txt:
      return "TXT";
    default:
      return "EMAIL";
  }
}

// "AWAITING_VALIDATION", "Awaiting Validation" and "awaiting validation" are one word.
std::string normal_word(const std::string& word) {
  std::string normal;
  for (const char c : word) {
    if (c != '_' && c != ' ') normal += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return normal;
}

std::int64_t number_in(const Error& error) {
  return loose_number(code_of(error));
}

}  // namespace

Sectigo::Sectigo(const IssuerSpec& spec, std::unique_ptr<HttpClient> http, const Clock& clock)
    : RestApi(spec, std::move(http), clock,
              {"check account, secret and customer, and that its role may order by the interface",
               "correct the issuer's options product, term, organization, custom_field, or the domain at the CA"}) {}

Result<RestRequest> Sectigo::signed_request(RestRequest request) {
  request.headers.emplace_back("login", spec_.purchase.account);
  request.headers.emplace_back("password", spec_.purchase.secret.text());
  request.headers.emplace_back("customerUri", spec_.purchase.customer);
  return request;
}

// No limit is documented; more than two requests a second are advised against.
AccountPace Sectigo::pace() const {
  return {RequestPace{1, std::chrono::milliseconds(520)}, std::nullopt};
}

Refusal Sectigo::refusal_in(const RestAnswer& answer) const {
  return {loose_text(answer.json, "code"), loose_text(answer.json, "description")};
}

RefusalCause Sectigo::cause_of(const Refusal& refusal) const {
  const auto code = loose_number(refusal.code);
  if (among(of_login, code)) return RefusalCause::login;
  if (among(passing, code)) return RefusalCause::passing;
  return among(of_sectigo_settings, code) ? RefusalCause::settings : RefusalCause::other;
}

Error Sectigo::failed(const RestAnswer& answer, const std::string& what) {
  Error error = RestApi::failed(answer, what);
  if (!among(of_validation, number_in(error))) return error;
  error.kind = ErrorKind::action_required;
  error.message +=
      "; validate the domain in Certificate Manager (Domains, Domain Control Validation), then say evercert renew NAME";
  return error;
}

Result<std::string> Sectigo::test_login() {
  auto answer = get({"GET", "organization/v1", "take our credentials"});
  if (!answer) return answer.error();
  return spec_.purchase.account + " of " + spec_.purchase.customer;
}

Result<std::string> Sectigo::place(const Wanted& wanted) {
  const Purchase& purchase = spec_.purchase;
  std::string names;
  for (const auto& identifier : wanted.identifiers) names += (names.empty() ? "" : ",") + identifier.value;
  Json body{{"orgId", loose_number(purchase.organization)},
            {"csr", pem_of_request(wanted.request)},
            {"certType", loose_number(purchase.product)},
            {"term", purchase.term},
            {"subjAltNames", names},
            {"comments", (purchase.comments.empty() ? "" : purchase.comments + " ") + mark_of(wanted)},
            {"dcvMode", mode_word(spec_.challenge)}};
  if (spec_.challenge == ChallengeKind::email) body["dcvEmail"] = purchase.email;
  std::string recipients;
  for (const auto& address : purchase.recipients) recipients += (recipients.empty() ? "" : ",") + address;
  if (!recipients.empty()) body["externalRequester"] = recipients;
  for (const auto& [name, value] : purchase.custom_fields) body["customFields"].push_back({{"name", name}, {"value", value}});
  RestRequest order{"POST", std::string(ssl) + "/enroll", "accept an order for " + wanted.identifiers.front().value,
                    std::move(body)};
  order.effect = RestRequest::Effect::places;
  auto answer = get(order);
  if (!answer) return answer.error();
  std::string number = loose_text(*answer, "sslId");
  if (number.empty()) return nameless(order.what);
  return number;
}

// All certificates with that common name.
Result<std::vector<Json>> Sectigo::rows_of(const std::string& common_name) {
  std::vector<Json> all;
  for (unsigned position = 0;; position += sectigo_rows) {
    auto rows = get({"GET",
                     std::string(ssl) + "?commonName=" + form_field(common_name) + "&size=" + std::to_string(sectigo_rows) +
                         "&position=" + std::to_string(position),
                     "list our orders"});
    if (!rows) return rows.error();
    if (!rows->is_array()) return all;
    for (const auto& row : *rows) all.push_back(row);
    if (rows->size() < sectigo_rows) return all;
  }
}

Result<std::optional<std::string>> Sectigo::find(const Wanted& wanted, const std::vector<std::string>& known) {
  const std::string mark = mark_of(wanted);
  auto rows = rows_of(wanted.identifiers.front().value);
  if (!rows) return rows.error();
  std::vector<long long> numbers;
  for (const auto& row : *rows) numbers.push_back(loose_number(loose_text(row, "sslId")));
  // What an interrupted call left behind is among the newest.
  std::sort(numbers.rbegin(), numbers.rend());
  if (numbers.size() > sectigo_details) numbers.resize(sectigo_details);
  for (const auto number : numbers) {
    const std::string order = std::to_string(number);
    if (is_among(known, order)) continue;
    auto detail = get({"GET", std::string(ssl) + "/" + order, "show the order " + order});
    if (!detail) return detail.error();
    if (loose_text(*detail, "comments").find(mark) != std::string::npos) return std::optional<std::string>(order);
  }
  return std::optional<std::string>();
}

Result<Json> Sectigo::validation_of(const std::string& order, const std::string& what) {
  auto answer = get({"GET", std::string(ssl) + "/" + order + "/dcv", what});
  if (!answer) return answer.error();
  // One of the documented forms wraps it in a list.
  if (!answer->is_array() || answer->empty()) return std::move(*answer);
  return Json(answer->front());
}

// What Certificate Manager calls to replace: the certificate changes, its number stays.
Result<std::string> Sectigo::reissue(const Subscription& subscription, const Wanted& wanted) {
  Json names = Json::array();
  for (const auto& identifier : wanted.identifiers) names.push_back(identifier.value);
  Json body{{"csr", pem_of_request(wanted.request)},
            {"reason", "reissued, " + mark_of(wanted)},
            {"commonName", wanted.identifiers.front().value},
            {"subjectAlternativeNames", std::move(names)},
            {"dcvMode", mode_word(spec_.challenge)}};
  if (spec_.challenge == ChallengeKind::email) body["dcvEmail"] = spec_.purchase.email;
  RestRequest request{"POST", std::string(ssl) + "/replace/" + subscription.order,
                      "replace the certificate of the order " + subscription.order, std::move(body)};
  request.effect = RestRequest::Effect::places;
  auto answer = get(request);
  if (!answer) return answer.error();
  return subscription.order;
}

Result<std::optional<std::string>> Sectigo::find_reissue(const Subscription& subscription, const Wanted&,
                                                         const std::vector<std::string>&) {
  auto detail = get({"GET", std::string(ssl) + "/" + subscription.order, "show the order " + subscription.order});
  if (!detail) return detail.error();
  // The reason of a replacement is not shown again. Nobody else knows the number, and one that is under way leaves Issued.
  const std::string status = normal_word(loose_text(*detail, "status"));
  const bool pending =
      status == "replaced" || status == "applied" || status == "requested" || status == "approved" || status == "saapproved";
  const bool done = status == "issued" && !same_serial(subscription.serial, loose_text(*detail, "serialNumber"));
  return pending || done ? std::optional<std::string>(subscription.order) : std::nullopt;
}

void Sectigo::add_validation(Progress& progress, const Json& validation) const {
  for (const auto& entry : member_of(member_of(validation, "dcvLog"), "log")) {
    progress.domains_known = true;
    const std::string status = normal_word(loose_text(entry, "dcvStatus"));
    progress.domains.push_back({loose_text(entry, "domainName"), status == "validated", status == "rejected"});
  }
}

Result<Progress> Sectigo::track(const std::string& order) {
  auto detail = get({"GET", std::string(ssl) + "/" + order + "?dateFormat=ISO_HMS", "track the order " + order});
  if (!detail) {
    return number_in(detail.error()) == unknown_order ? forgotten(detail.error()) : paid_for(detail.error());
  }
  Progress progress;
  const std::string shown = loose_text(*detail, "status");
  const std::string status = normal_word(shown);
  if (status == "issued") {
    progress.stage = Stage::issued;
    return progress;
  }
  if (status == "declined" || status == "rejected" || status == "invalid" || status == "revoked" || status == "expired") {
    progress.stage = Stage::dead;
    progress.said = "is " + rest_.quoted(shown) + " at the CA";
    return progress;
  }
  if (status == "replaced") {
    // Where a replacement gets a number of its own, that is not told: it is a newer one of the same name.
    progress.stage = Stage::people;
    progress.replaced = true;
    progress.said = "was replaced under another number, and no newer one has our key; look for it in Certificate Manager";
    auto rows = rows_of(loose_text(*detail, "commonName"));
    if (!rows) return rows.error();
    for (const auto& row : *rows) {
      const std::string number = loose_text(row, "sslId");
      if (loose_number(number) > loose_number(order)) progress.successors.push_back(number);
    }
    return progress;
  }
  if (status == "requested") {
    progress.stage = Stage::people;
    progress.said = "waits until an administrator of Certificate Manager approves it";
    return progress;
  }
  auto validation = validation_of(order, "tell how names are validated");
  // Customers whose domains are validated beforehand have none for single orders.
  if (validation) add_validation(progress, *validation);
  return progress;
}

namespace {

bool is_about(const Json& entry, const std::string& name) {
  const std::string domain = loose_text(entry, "domainName");
  return domain == name || "*." + domain == name;
}

// What is to be shown, and whether the CA says all of it.
bool take_instructions(Task& task, const Json& entry, ChallengeKind kind) {
  const std::string url = loose_text(entry, "url");
  task.file = url.substr(url.rfind('/') + 1);
  task.content = loose_text(entry, "file");
  task.record = loose_text(entry, "host");
  task.value = loose_text(entry, "point");
  while (task.record.ends_with('.')) task.record.pop_back();
  while (kind == ChallengeKind::dns_cname && task.value.ends_with('.')) task.value.pop_back();
  if (kind == ChallengeKind::email) return true;
  return kind == ChallengeKind::http_file ? !task.file.empty() && !task.content.empty()
                                          : !task.record.empty() && !task.value.empty();
}

}  // namespace

Result<Task> Sectigo::task(const std::string& order, const std::string& name, ChallengeKind kind) {
  Task task;
  auto whole = validation_of(order, "tell how " + name + " is to be validated");
  if (!whole) {
    if (whole.error().kind != ErrorKind::issuer_refused) return whole.error();
    task.readiness = Task::Readiness::not_yet;
    return task;
  }
  task.readiness = Task::Readiness::not_yet;
  for (const auto& entry : member_of(member_of(*whole, "dcvLog"), "log")) {
    if (is_about(entry, name) && normal_word(loose_text(entry, "dcvStatus")) == "validated") {
      task.readiness = Task::Readiness::verified;
      return task;
    }
  }
  for (const auto& entry : member_of(*whole, "instructions")) {
    if (!is_about(entry, name)) continue;
    task.readiness = Task::Readiness::open;
    const std::string mode = loose_text(entry, "dcvMode");
    if (normal_word(mode).find(normal_word(mode_word(kind))) == std::string::npos) {
      task.readiness = Task::Readiness::refused;
      task.said = "the order was placed with " + rest_.quoted(mode) + ", and Sectigo changes that only in the portal";
      return task;
    }
    if (!take_instructions(task, entry, kind)) {
      task.readiness = Task::Readiness::refused;
      task.said = "the CA does not say what " + std::string(to_string(kind)) + " must show for " + name;
    }
  }
  return task;
}

Result<Done> Sectigo::verify(const std::string& order, const std::string& name, ChallengeKind kind, const std::string&) {
  // The mail went out with the order.
  if (kind == ChallengeKind::email) return Done{};
  return tell({"POST", std::string(ssl) + "/" + order + "/dcv/recheck", "validate " + name, Json::object()});
}

Result<std::string> Sectigo::download(const std::string& order) {
  constexpr std::chrono::seconds soon{15};
  // The certificate with what is above it, in an order that the documents do not promise.
  RestRequest request{"GET", std::string(ssl) + "/collect/" + order + "?format=x509",
                      "hand out the certificate of the order " + order};
  request.text = true;
  auto answer = ask(request);
  if (!answer) return answer.error();
  if (succeeded(*answer)) return std::move(answer->text);
  const Error error = failed(*answer, request.what);
  return among(not_collectable_yet, number_in(error)) ? too_early(error, soon) : error;
}

Result<Done> Sectigo::cancel(const std::string& order, const std::string& why) {
  return tell({"POST", std::string(ssl) + "/decline/" + order, "decline the order " + order, Json{{"message", why}}});
}

Result<Done> Sectigo::revoke(const LeafFacts& leaf, int reason, const std::string& comment) {
  auto word = reason_word(reason, &RevocationReason::sectigo);
  if (!word) return word.error();
  std::string colons;
  for (std::size_t i = 0; i < leaf.serial.size(); i += 2) colons += (colons.empty() ? "" : ":") + leaf.serial.substr(i, 2);
  std::transform(colons.begin(), colons.end(), colons.begin(), [](unsigned char c) { return std::toupper(c); });
  auto done = tell({"POST", std::string(ssl) + "/revoke/serial/" + colons, "revoke the certificate",
                    Json{{"reasonCode", loose_number(*word)}, {"reason", comment}}});
  if (!done && number_in(done.error()) != already_revoked) return done.error();
  return Done{};
}

Result<Settled> Sectigo::revocation_of(const LeafFacts& leaf) {
  for (const auto& name : leaf.identifiers) {
    auto rows = rows_of(name.value);
    if (!rows) return rows.error();
    for (const auto& row : *rows) {
      if (!same_serial(leaf.serial, loose_text(row, "serialNumber"))) continue;
      const std::string order = loose_text(row, "sslId");
      auto detail = get({"GET", std::string(ssl) + "/" + order, "show the order " + order});
      if (!detail) return detail.error();
      return normal_word(loose_text(*detail, "status")) == "revoked" ? Settled::yes : Settled::no;
    }
  }
  return Error{ErrorKind::issuer_refused, rest_.who() + " lists no certificate with the serial number " + leaf.serial};
}

}  // namespace evercert
