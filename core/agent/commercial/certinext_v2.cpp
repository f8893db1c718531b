#include "agent/commercial/certinext_v2.h"

#include <algorithm>
#include <map>

#include "serving/base/encoding.h"

namespace evercert {
namespace {

constexpr const char* v2_resources = "api/certinext/v2/";
constexpr const char* v2_orders = "api/certinext/v2/ssl-certificates/";
constexpr const char* already_verified = "EMS-1080";
// Of an order that is not ready for this call, or no longer: its state tells which.
constexpr const char* wrong_state = "EMS-956";
constexpr int not_found = 404;
constexpr int conflict = 409;
constexpr int unprocessable = 422;
constexpr unsigned rows_in_page = 100;
constexpr unsigned pages_at_most = 200;
constexpr std::chrono::hours days_looked_back{72};
// A token that is about to end is replaced before.
constexpr std::chrono::seconds token_reserve{60};

const char* method_word(ChallengeKind kind) {
  return kind == ChallengeKind::dns_txt ? "dns-txt" : kind == ChallengeKind::http_file ? "http-url" : "email";
}

// "EMS-1180", "EMS-DOMAIN-002": anywhere in a text, in brackets or not.
std::string code_in(const std::string& text) {
  const auto begin = text.find("EMS-");
  if (begin == std::string::npos) return "";
  const auto end = text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-", begin);
  return text.substr(begin, end == std::string::npos ? end : end - begin);
}

bool is_about_the_form(const std::string& code) {
  return code == "EMS-921" || code == "EMS-922";
}

std::string detail_text(const Json& problem) {
  std::string text = loose_text(problem, "title");
  const std::string detail = loose_text(problem, "detail");
  if (!detail.empty()) text += (text.empty() ? "" : ": ") + detail;
  if (text.empty()) text = loose_text(problem, "error");
  const Json& errors = member_of(problem, "errors");
  for (const auto& one : errors) text += "; " + loose_text(one, "field") + " " + loose_text(one, "message");
  return text;
}

}  // namespace

CertinextV2::CertinextV2(const IssuerSpec& spec, std::unique_ptr<HttpClient> http, const Clock& clock)
    : RestApi(spec, std::move(http), clock,
              {"check account and secret, and the rights of its API user",
               "correct the issuer's options product, group, organization"}) {}

Result<std::string> CertinextV2::token() {
  const std::lock_guard lock(mutex_);
  const auto now = rest_.clock().now();
  if (!token_.empty() && now + token_reserve < token_ends_) return std::string(token_.text());
  RestRequest request{"POST", spec_.purchase.token_uri.empty() ? "oauth/token" : spec_.purchase.token_uri,
                      "give an access token"};
  request.effect = RestRequest::Effect::changes;
  request.form = "grant_type=client_credentials&client_id=" + form_field(spec_.purchase.account) +
                 "&client_secret=" + form_field(spec_.purchase.secret.text());
  auto answer = rest_.send(request);
  wipe(request.form);
  if (!answer) return answer.error();
  std::string text = loose_text(answer->json, "access_token");
  if (!answer->good() || text.empty()) {
    return rest_.refused(ErrorKind::action_required, request.what,
                         "HTTP status " + std::to_string(answer->status) + " " + detail_text(answer->json) +
                             "; check account and secret, and that the key is one of OAuth mode");
  }
  auto lifetime = json_number(answer->json, "expires_in", "the token");
  constexpr std::int64_t usual = 3600;
  token_ = Secret::from_text(text);
  ++tokens_;
  token_ends_ = now + std::chrono::seconds(lifetime ? std::clamp<std::int64_t>(*lifetime, 1, usual * 24) : usual);
  return text;
}

Result<RestRequest> CertinextV2::signed_request(RestRequest request) {
  auto access = token();
  if (!access) return access.error();
  request.headers.emplace_back("Authorization", "Bearer " + *access);
  return request;
}

AccountPace CertinextV2::pace() const {
  return {std::nullopt, certinext_orders};
}

Result<RestAnswer> CertinextV2::ask(const RestRequest& request) {
  constexpr int unauthorized = 401;
  unsigned before = 0;
  {
    const std::lock_guard lock(mutex_);
    before = std::max(tokens_, 1U);
  }
  auto answer = RestApi::ask(request);
  if (!answer || answer->status != unauthorized) return answer;
  {
    // Tokens may be taken back early: one new one, and the same once more. It was refused, so it did nothing.
    const std::lock_guard lock(mutex_);
    if (tokens_ <= before) token_.wipe();
  }
  return RestApi::ask(request);
}

Refusal CertinextV2::refusal_in(const RestAnswer& answer) const {
  const std::string said = detail_text(answer.json);
  const std::string code = code_in(said);
  return {code.empty() ? code_in(loose_text(answer.json, "type")) : code, said};
}

RefusalCause CertinextV2::cause_of(const Refusal& refusal) const {
  for (const char* word : {"product", "organization", "group"}) {
    if (contains_word(refusal.said, word)) return RefusalCause::settings;
  }
  return RefusalCause::other;
}

Result<std::string> CertinextV2::test_login() {
  auto answer = get({"GET", std::string(v2_resources) + "auth/me", "take our credentials"});
  if (!answer) return answer.error();
  return "account " + rest_.quoted(loose_text(*answer, "accountNumber")) + " at CERTInext";
}

namespace {

std::string plain_phone(std::string phone) {
  phone.erase(std::remove(phone.begin(), phone.end(), '-'), phone.end());
  return phone;
}

Json person_json(const Person& person) {
  Json json{{"name", person.name}, {"email", person.email}, {"phone", plain_phone(person.phone)}};
  if (!person.title.empty()) json["designation"] = person.title;
  return json;
}

}  // namespace

Json CertinextV2::order_body(const Wanted& wanted) const {
  const Purchase& purchase = spec_.purchase;
  Json certificate{{"domain", wanted.identifiers.front().value}, {"autoSecureWww", purchase.www}};
  for (std::size_t i = 1; i < wanted.identifiers.size(); ++i) {
    certificate["additionalDomains"].push_back(wanted.identifiers[i].value);
  }
  Json tags = Json::array({mark_of(wanted)});
  for (const auto& tag : purchase.tags) tags.push_back(tag);
  Json body{{"productVariant", purchase.variant},
            {"certificate", std::move(certificate)},
            {"subscription", {{"validityYears", purchase.term}, {"autoRenew", false}}},
            {"requestor", person_json(purchase.requester)},
            {"csr", bare_request_ ? to_base64(wanted.request) : pem_of_request(wanted.request)},
            {"remarks", purchase.comments.empty() ? "ordered by evercert" : purchase.comments},
            {"tags", std::move(tags)}};
  if (!purchase.signer.name.empty()) {
    body["agreement"] = {{"signerName", purchase.signer.name},
                         {"signerPlace", purchase.signer.place},
                         {"signerIp", purchase.signer.address},
                         {"accepted", true}};
  }
  if (!purchase.organization.empty()) {
    body["organization"] = {{"organizationNumber", purchase.organization}, {"preVetted", true}};
  }
  if (!purchase.group.empty()) body["groupNumber"] = purchase.group;
  if (!purchase.recipients.empty()) body["recipientEmails"] = purchase.recipients;
  if (!purchase.technical_contact.email.empty()) body["technicalPointOfContact"] = person_json(purchase.technical_contact);
  return body;
}

Result<std::string> CertinextV2::place(const Wanted& wanted) {
  RestRequest order{"POST", "api/certinext/v2/ssl-certificates", "accept an order for " + wanted.identifiers.front().value,
                    order_body(wanted)};
  if (!spec_.purchase.product.empty()) order.headers.emplace_back("X-Product-Code", spec_.purchase.product);
  order.effect = RestRequest::Effect::places;
  auto answer = ask(order);
  if (!answer) return answer.error();
  if (answer->status == unprocessable && is_about_the_form(refusal_in(*answer).code)) {
    // Samples show the base64 alone, clients send PEM: what this CA reads is found out once. A refused request made no order.
    bare_request_ = !bare_request_;
    order.json = order_body(wanted);
    answer = ask(order);
    if (!answer) return answer.error();
  }
  if (!succeeded(*answer)) return failed(*answer, order.what);
  std::string number = loose_text(answer->json, "orderId");
  if (number.empty()) return nameless(order.what);
  return number;
}

Result<std::optional<Json>> CertinextV2::row_of_report(const std::string& query, const std::string& what,
                                                       const std::function<bool(const Json&)>& wanted) {
  // A page past the end repeats the last one: only the number of pages ends the reading.
  for (unsigned page = 1; page <= pages_at_most; ++page) {
    auto answer = get({"GET",
                       std::string(v2_resources) + "reports/orders?page=" + std::to_string(page) +
                           "&size=" + std::to_string(rows_in_page) + query,
                       what});
    if (!answer) return answer.error();
    for (const auto& row : member_of(*answer, "content")) {
      if (wanted(row)) return std::optional<Json>(row);
    }
    auto pages = json_number(*answer, "totalPages", "the report");
    if (!pages || static_cast<std::int64_t>(page) >= *pages) break;
  }
  return std::optional<Json>();
}

Result<std::optional<std::string>> CertinextV2::find(const Wanted& wanted, const std::vector<std::string>& known) {
  const std::string mark = mark_of(wanted);
  auto row = row_of_report("&from=" + date_of(rest_.clock().now() - days_looked_back), "list our orders", [&](const Json& one) {
    const Json& tags = member_of(one, "tags");
    const bool ours = tags.is_array() && std::find(tags.begin(), tags.end(), Json(mark)) != tags.end();
    return ours && !is_among(known, loose_text(one, "orderNumber"));
  });
  if (!row) return row.error();
  if (!*row) return std::optional<std::string>();
  return std::optional<std::string>(loose_text(**row, "orderNumber"));
}

bool CertinextV2::can_reissue(const Subscription& subscription, const Wanted& wanted) const {
  // It changes the key or the names of a certificate, not both at once, and each order of ours has a key of its own.
  if (subscription.names.size() != wanted.identifiers.size()) return false;
  return std::all_of(wanted.identifiers.begin(), wanted.identifiers.end(),
                     [&](const Identifier& one) { return is_among(subscription.names, one.value); });
}

Result<std::string> CertinextV2::reissue(const Subscription& subscription, const Wanted& wanted) {
  RestRequest request{
      "POST", v2_orders + subscription.order + "/reissue", "reissue the order " + subscription.order,
      Json{{"mode", "rekey"}, {"csr", pem_of_request(wanted.request)}, {"reason", "renewed, " + mark_of(wanted)}}};
  request.effect = RestRequest::Effect::places;
  auto answer = get(request);
  if (!answer) return answer.error();
  std::string number = loose_text(*answer, "orderId");
  if (number.empty()) return nameless(request.what);
  return number;
}

// A reissue has a number of its own: that of the first order with R and digits after it.
Result<std::optional<std::string>> CertinextV2::find_reissue(const Subscription& subscription, const Wanted&,
                                                             const std::vector<std::string>& known) {
  const std::string family = subscription.order.substr(0, subscription.order.find('R')) + "R";
  auto row = row_of_report("&from=" + date_of(rest_.clock().now() - days_looked_back), "list our orders", [&](const Json& one) {
    const std::string number = loose_text(one, "orderNumber");
    return number.starts_with(family) && number != subscription.order && !is_among(known, number);
  });
  if (!row) return row.error();
  if (!*row) return std::optional<std::string>();
  return std::optional<std::string>(loose_text(**row, "orderNumber"));
}

Result<Progress> CertinextV2::track(const std::string& order) {
  const RestRequest request{"GET", v2_orders + order, "track the order " + order};
  auto answer = ask(request);
  if (!answer) return answer.error();
  if (answer->status == not_found) return forgotten(failed(*answer, request.what));
  if (!succeeded(*answer)) return paid_for(failed(*answer, request.what));
  Progress progress;
  progress.ends = day_of(loose_text(member_of(answer->json, "subscription"), "endDate"));
  const std::string status = loose_text(answer->json, "status");
  const std::string words = rest_.quoted(loose_text(answer->json, "certificateState"));
  static const std::map<std::string, std::pair<const char*, bool>> waits{
      {"pending-organization-verification", {"waits until the CA has verified the organization; answer its questions", false}},
      {"pending-documents", {"waits for documents: hand them in at the portal", false}},
      {"pending-agreement", {"waits for the subscriber agreement: accept it in the portal, or set signer", false}},
      {"pending-approval", {"waits for an approval in the portal", true}}};
  if (status == "issued") {
    progress.stage = Stage::issued;
  } else if (status == "revoked" || status == "cancelled" || status == "rejected" || status == "expired") {
    progress.stage = Stage::dead;
    progress.said = "is " + status + " at the CA: " + words;
  } else if (const auto found = waits.find(status); found != waits.end()) {
    progress.stage = Stage::people;
    progress.said = found->second.first;
    progress.may_pass = found->second.second;
  }
  for (const auto& domain : member_of(member_of(member_of(answer->json, "verifications"), "domain"), "domains")) {
    progress.domains_known = true;
    const std::string state = loose_text(domain, "dcvStatus");
    progress.domains.push_back({loose_text(domain, "domain"), state == "VERIFIED", state == "REJECTED"});
  }
  return progress;
}

Result<Task> CertinextV2::task(const std::string& order, const std::string& name, ChallengeKind kind) {
  Task task;
  if (kind == ChallengeKind::email) return task;
  const RestRequest request{"GET", v2_orders + order + "/dcv?domain=" + form_field(name) + "&method=" + method_word(kind),
                            "tell how " + name + " is to be validated"};
  auto answer = ask(request);
  if (!answer) return answer.error();
  if (!succeeded(*answer)) {
    const Error error = failed(*answer, request.what);
    if (contains_word(error.message, already_verified)) {
      task.readiness = Task::Readiness::verified;
    } else if (answer->status == not_found || answer->status == conflict || contains_word(error.message, wrong_state)) {
      task.readiness = Task::Readiness::not_yet;
    } else if (error.kind == ErrorKind::issuer_refused) {
      task.readiness = Task::Readiness::refused;
      task.said = error.message;
    } else {
      return error;
    }
    return task;
  }
  for (const char* member : {"token", "txtToken", "fileToken", "fileContent", "dnsContents"}) {
    if (task.value.empty()) task.value = loose_text(answer->json, member);
  }
  task.content = task.value;
  task.file = loose_text(answer->json, "fileName");
  if (task.file.empty()) task.file = spec_.purchase.validation_file;
  for (const char* member : {"dnsHost", "host"}) {
    if (task.record.empty()) task.record = loose_text(answer->json, member);
  }
  if (kind == ChallengeKind::http_file && task.file.empty()) {
    task.readiness = Task::Readiness::refused;
    task.said =
        "the CA does not tell the name of the file; ask emSign for it and set validation_file, or use dns-txt or api v1";
  } else if (task.value.empty()) {
    task.readiness = Task::Readiness::refused;
    task.said = "the CA does not say what " + std::string(to_string(kind)) + " must show for " + name;
  }
  return task;
}

// To which address a mail goes is the CA's choice; no member for it is documented.
Result<Done> CertinextV2::verify(const std::string& order, const std::string& name, ChallengeKind kind, const std::string&) {
  RestRequest request{"POST", v2_orders + order + "/dcv/verify", "validate " + name,
                      Json{{"domain", name}, {"method", method_word(kind)}}};
  request.effect = RestRequest::Effect::changes;
  auto answer = ask(request);
  if (!answer) return answer.error();
  if (succeeded(*answer)) return Done{};
  // Before the click in the mail that is what it says of a name.
  if (kind == ChallengeKind::email && answer->status == unprocessable) return Done{};
  const Error error = failed(*answer, request.what);
  if (contains_word(error.message, already_verified)) return Done{};
  return error;
}

Result<std::string> CertinextV2::download(const std::string& order) {
  constexpr std::chrono::seconds soon{5};
  const RestRequest request{"GET", v2_orders + order + "/certificate", "hand out the certificate of the order " + order};
  auto answer = ask(request);
  if (!answer) return answer.error();
  if (!succeeded(*answer)) {
    const Error error = failed(*answer, request.what);
    // Between issued and to be had there is a short while.
    const bool early = answer->status == unprocessable || answer->status == not_found;
    return early ? too_early(error, soon) : error;
  }
  std::string pem = loose_text(answer->json, "certificatePem") + "\n";
  for (const auto& one : member_of(answer->json, "chainPem")) {
    if (one.is_string()) pem += one.get<std::string>() + "\n";
  }
  return pem;
}

Result<Done> CertinextV2::cancel(const std::string& order, const std::string& why) {
  return tell({"POST", v2_orders + order + "/cancel", "cancel the order " + order, Json{{"reason", why}}});
}

Result<std::string> CertinextV2::order_of(const LeafFacts& leaf) {
  auto row = row_of_report("", "find the order of this certificate", [&](const Json& one) {
    return same_serial(leaf.serial, loose_text(one, "certificateSerialNumber"));
  });
  if (!row) return row.error();
  if (*row) return loose_text(**row, "orderNumber");
  return Error{ErrorKind::issuer_refused, rest_.who() + " lists no order with the serial number " + leaf.serial +
                                              "; revoke the certificate in the portal"};
}

Result<Done> CertinextV2::revoke(const LeafFacts& leaf, int reason, const std::string& comment) {
  auto word = reason_word(reason, &RevocationReason::certinext_v2);
  if (!word) return word.error();
  auto order = order_of(leaf);
  if (!order) return order.error();
  return tell({"POST", v2_orders + *order + "/revoke", "revoke the certificate",
               Json{{"reason", *word}, {"note", without_semicolons(comment)}}});
}

Result<Settled> CertinextV2::revocation_of(const LeafFacts& leaf) {
  auto order = order_of(leaf);
  if (!order) return order.error();
  auto answer = get({"GET", v2_orders + *order, "track the order " + *order});
  if (!answer) return answer.error();
  // The state of the order says "Order Accepted" still.
  if (loose_text(*answer, "status") == "revoked") return Settled::yes;
  const Json& revocation = member_of(*answer, "revocation");
  if (revocation.empty()) return Settled::no;
  if (!loose_text(revocation, "processedAt").empty() && contains_word(loose_text(revocation, "status"), "revoked")) {
    return Settled::yes;
  }
  return contains_word(loose_text(revocation, "status"), "reject") ? Settled::refused : Settled::requested;
}

}  // namespace evercert
