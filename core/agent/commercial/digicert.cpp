#include "agent/commercial/digicert.h"

#include <cctype>

namespace evercert {
namespace {

constexpr unsigned digicert_rows = 100;
constexpr std::size_t digicert_details = 50;
// CertCentral's number for a server platform that is none of its list.
constexpr int other_platform = -1;
constexpr const char* reissue_pending = "reissue_pending";

// The base64 of a request, with or without the lines around it, however it is broken.
std::string bare(std::string text) {
  for (auto from = text.find("-----"); from != std::string::npos; from = text.find("-----")) {
    const auto to = text.find("-----", from + 5);
    if (to == std::string::npos) break;
    text.erase(from, to + 5 - from);
  }
  std::erase_if(text, [](unsigned char c) { return std::isspace(c) != 0; });
  return text;
}

bool same_request(const std::string& left, const std::string& right) {
  const std::string digits = bare(left);
  return !digits.empty() && digits == bare(right);
}

const char* token_method(ChallengeKind kind) {
  switch (kind) {
    case ChallengeKind::http_file:
      return "http-token";
    case ChallengeKind::dns_txt:
      return "dns-txt-token";
    case ChallengeKind::dns_cname:
      return "dns-cname-token";
    default:
      return "email";
  }
}

}  // namespace

DigiCert::DigiCert(const IssuerSpec& spec, std::unique_ptr<HttpClient> http, const Clock& clock)
    : RestApi(spec, std::move(http), clock,
              {"check secret, and the rights of this API key", "correct the issuer's options product, organization, term"}) {}

Result<RestRequest> DigiCert::signed_request(RestRequest request) {
  request.headers.emplace_back("X-DC-DEVKEY", spec_.purchase.secret.text());
  return request;
}

// A key may ask 100 times in five seconds and 1,000 times in three minutes; some of that is for others who hold it.
AccountPace DigiCert::pace() const {
  return {RequestPace{60, std::chrono::milliseconds(200)}, std::nullopt};
}

Refusal DigiCert::refusal_in(const RestAnswer& answer) const {
  Refusal refusal;
  for (const auto& one : member_of(answer.json, "errors")) {
    if (refusal.code.empty()) refusal.code = loose_text(one, "code");
    refusal.said += (refusal.said.empty() ? "" : "; ") + loose_text(one, "code") + " " + loose_text(one, "message");
  }
  return refusal;
}

RefusalCause DigiCert::cause_of(const Refusal& refusal) const {
  for (const char* word : {"product", "organization", "validity"}) {
    if (contains_word(refusal.said, word)) return RefusalCause::settings;
  }
  return RefusalCause::other;
}

Result<std::string> DigiCert::test_login() {
  auto answer = get({"GET", "user/me", "take our credentials"});
  if (!answer) return answer.error();
  return "user " + rest_.quoted(loose_text(*answer, "username")) + " at CertCentral";
}

Json DigiCert::certificate_body(const Wanted& wanted) const {
  Json names = Json::array();
  for (const auto& identifier : wanted.identifiers) names.push_back(identifier.value);
  return {{"common_name", wanted.identifiers.front().value},
          {"dns_names", std::move(names)},
          {"csr", pem_of_request(wanted.request)},
          {"signature_hash", "sha256"},
          {"server_platform", {{"id", other_platform}}}};
}

Result<std::string> DigiCert::place(const Wanted& wanted) {
  const Purchase& purchase = spec_.purchase;
  Json body{{"certificate", certificate_body(wanted)},
            {"order_validity", {{"years", purchase.term}}},
            {"dcv_method", token_method(spec_.challenge)},
            {"alternative_order_id", mark_of(wanted)},
            {"comments", (purchase.comments.empty() ? "" : purchase.comments + " ") + mark_of(wanted)}};
  if (!purchase.organization.empty()) body["organization"] = {{"id", loose_number(purchase.organization)}};
  if (!purchase.group.empty()) body["container"] = {{"id", loose_number(purchase.group)}};
  for (const auto& [name, value] : purchase.custom_fields) {
    body["custom_fields"].push_back({{"metadata_id", loose_number(name)}, {"value", value}});
  }
  RestRequest order{"POST", order_path(purchase.product), "accept an order for " + wanted.identifiers.front().value,
                    std::move(body)};
  order.effect = RestRequest::Effect::places;
  auto answer = get(order);
  if (!answer) return answer.error();
  std::string number = loose_text(*answer, "id");
  if (number.empty()) return nameless(order.what);
  remember(number, spec_.challenge);
  return number;
}

void DigiCert::remember(const std::string& order, ChallengeKind kind) {
  const std::lock_guard lock(mutex_);
  ways_[order] = kind;
}

bool DigiCert::is_proved_by(const std::string& order, ChallengeKind kind) const {
  const std::lock_guard lock(mutex_);
  const auto found = ways_.find(order);
  return found != ways_.end() && found->second == kind;
}

Result<std::optional<std::string>> DigiCert::find(const Wanted& wanted, const std::vector<std::string>& known) {
  const std::string mark = mark_of(wanted);
  auto rows = get({"GET",
                   "order/certificate?limit=" + std::to_string(digicert_rows) +
                       "&sort=-order_id&filters[common_name]=" + form_field(wanted.identifiers.front().value),
                   "list our orders"});
  if (!rows) return rows.error();
  std::size_t looked_at = 0;
  for (const auto& row : member_of(*rows, "orders")) {
    const std::string order = loose_text(row, "id");
    if (order.empty() || is_among(known, order)) continue;
    if (++looked_at > digicert_details) break;
    auto detail = get({"GET", order_path(order), "show the order " + order});
    if (!detail) return detail.error();
    // In which member the mark comes back is not documented.
    if (dump_json(*detail).find(mark) != std::string::npos) return std::optional<std::string>(order);
  }
  return std::optional<std::string>();
}

Result<std::string> DigiCert::reissue(const Subscription& subscription, const Wanted& wanted) {
  RestRequest request{"POST", order_path(subscription.order) + "/reissue", "reissue the order " + subscription.order,
                      Json{{"certificate", certificate_body(wanted)},
                           {"dcv_method", token_method(spec_.challenge)},
                           {"comments", mark_of(wanted)}}};
  request.effect = RestRequest::Effect::places;
  auto answer = get(request);
  if (!answer) return answer.error();
  remember(subscription.order, spec_.challenge);
  return subscription.order;
}

Result<std::optional<std::string>> DigiCert::find_reissue(const Subscription& subscription, const Wanted& wanted,
                                                          const std::vector<std::string>&) {
  auto order = get({"GET", order_path(subscription.order), "show the order " + subscription.order});
  if (!order) return order.error();
  // An order has one reissue under way at most; one that is done shows the request it was made for.
  const bool pending = loose_text(*order, "status") == reissue_pending;
  const std::string csr = loose_text(member_of(*order, "certificate"), "csr");
  const bool done = same_request(csr, pem_of_request(wanted.request));
  return pending || done ? std::optional<std::string>(subscription.order) : std::nullopt;
}

Result<Progress> DigiCert::track(const std::string& order) {
  const RestRequest request{"GET", order_path(order), "track the order " + order};
  auto answer = ask(request);
  if (!answer) return answer.error();
  constexpr int not_found = 404;
  if (answer->status == not_found) return forgotten(failed(*answer, request.what));
  if (!succeeded(*answer)) return paid_for(failed(*answer, request.what));
  Progress progress;
  const std::string status = loose_text(answer->json, "status");
  progress.ends = day_of(loose_text(answer->json, "order_valid_till"));
  if (status == "issued" || status == "waiting_pickup") {
    progress.stage = Stage::issued;
  } else if (status == "rejected" || status == "revoked" || status == "canceled" || status == "expired" ||
             status == "renewed") {
    progress.stage = Stage::dead;
    progress.said = "is " + status + " at the CA";
  } else if (status == "needs_approval") {
    progress.stage = Stage::people;
    progress.said = "waits until an administrator of CertCentral approves it";
  } else if (status == "pending" || status == reissue_pending) {
    for (const auto& name : member_of(member_of(answer->json, "certificate"), "dns_names")) {
      if (name.is_string()) progress.domains.push_back({name.get<std::string>(), false, false});
    }
    progress.domains_known = !progress.domains.empty();
  }
  return progress;
}

Result<Task> DigiCert::task(const std::string& order, const std::string& name, ChallengeKind kind) {
  Task task;
  if (kind == ChallengeKind::email) return task;
  if (!is_proved_by(order, kind)) {
    auto changed = tell({"PUT", order_path(order) + "/dcv-method", "change how " + name + " is validated",
                         Json{{"dcv_method", token_method(kind)}}});
    // Nothing may be left to prove.
    if (!changed && kind == spec_.challenge && changed.error().kind == ErrorKind::issuer_refused) {
      task.readiness = Task::Readiness::not_yet;
      return task;
    }
    if (!changed) return changed.error();
    remember(order, kind);
  }
  // It may make a value, so it is not repeated by itself.
  RestRequest request{"PUT", order_path(order) + "/dcv-random-value", "tell how " + name + " is to be validated"};
  request.effect = RestRequest::Effect::changes;
  auto answer = get(request);
  if (!answer) {
    if (answer.error().kind != ErrorKind::issuer_refused) return answer.error();
    task.readiness = Task::Readiness::not_yet;
    return task;
  }
  const std::string value = loose_text(*answer, "dcv_random_value");
  if (value.empty()) {
    task.readiness = Task::Readiness::refused;
    task.said = "the CA does not say what " + std::string(to_string(kind)) + " must show for " + name;
    return task;
  }
  const std::string host = name.starts_with("*.") ? name.substr(2) : name;
  task.file = digicert_validation_file;
  task.content = value;
  task.record = kind == ChallengeKind::dns_cname ? "_dnsauth." + host : host;
  task.value = kind == ChallengeKind::dns_cname ? value + ".dcv.digicert.com" : value;
  return task;
}

Result<Done> DigiCert::verify(const std::string& order, const std::string& name, ChallengeKind kind, const std::string&) {
  // The mail goes out with the order.
  if (kind == ChallengeKind::email) return Done{};
  return tell({"PUT", order_path(order) + "/check-dcv", "validate " + name});
}

Result<std::string> DigiCert::download(const std::string& order) {
  constexpr std::chrono::seconds soon{15};
  RestRequest request{"GET", "certificate/download/order/" + order + "/format/pem_all",
                      "hand out the certificate of the order " + order};
  request.text = true;
  auto answer = ask(request);
  if (!answer) return answer.error();
  if (succeeded(*answer)) {
    const std::lock_guard lock(mutex_);
    ways_.erase(order);
    return std::move(answer->text);
  }
  return too_early(failed(*answer, request.what), soon);
}

Result<Done> DigiCert::cancel(const std::string& order, const std::string& why) {
  return tell({"PUT", order_path(order) + "/status", "cancel the order " + order, Json{{"status", "CANCELED"}, {"note", why}}});
}

Result<Done> DigiCert::revoke(const LeafFacts& leaf, int reason, const std::string& comment) {
  auto word = reason_word(reason, &RevocationReason::digicert);
  if (!word) return word.error();
  return tell({"PUT", "certificate/" + leaf.serial + "/revoke", "revoke the certificate",
               Json{{"comments", comment}, {"revocation_reason", *word}}});
}

Result<Settled> DigiCert::revocation_of(const LeafFacts& leaf) {
  // The order of the certificate that it brought last is found by that certificate's serial number.
  auto order = get({"GET", order_path(leaf.serial), "show the order of the certificate " + leaf.serial});
  if (!order) return order.error();
  const Json& certificate = member_of(*order, "certificate");
  if (loose_text(*order, "status") == "revoked") return Settled::yes;
  if (same_serial(leaf.serial, loose_text(certificate, "serial_number")) && loose_text(certificate, "status") == "revoked") {
    return Settled::yes;
  }
  for (const auto& request : member_of(*order, "requests")) {
    if (loose_text(request, "type") != "revoke") continue;
    const std::string status = loose_text(request, "status");
    return status == "rejected" ? Settled::refused : status == "pending" ? Settled::requested : Settled::no;
  }
  return Settled::no;
}

}  // namespace evercert
