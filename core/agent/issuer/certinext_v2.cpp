// emSign CERTInext by its second interface ("certinext/v2"): resources, OAuth access tokens, problem documents (RFC 7807).
#include <algorithm>
#include <array>
#include <map>
#include <mutex>

#include "agent/issuer/commercial_issuer.h"
#include "agent/issuer/rest.h"
#include "serving/base/files.h"

namespace evercert {
namespace {

constexpr const char* v2_resources = "api/certinext/v2/";
constexpr const char* v2_orders = "api/certinext/v2/ssl-certificates/";
constexpr const char* already_verified = "EMS-1080";
constexpr unsigned rows_in_page = 100;
constexpr unsigned pages_at_most = 200;
constexpr std::chrono::hours days_looked_back{72};
// A token that is about to end is replaced before.
constexpr std::chrono::seconds token_reserve{60};
constexpr std::array<std::pair<int, const char*>, 5> reason_words{{{1, "key-compromise"},
                                                                   {3, "affiliation-changed"},
                                                                   {4, "superseded"},
                                                                   {5, "cessation-of-operation"},
                                                                   {9, "privilege-withdrawn"}}};

const char* method_word(ChallengeKind kind) {
  return kind == ChallengeKind::dns_txt ? "dns-txt" : kind == ChallengeKind::http_file ? "http-url" : "email";
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

class CertinextV2 : public CommercialApi {
 public:
  CertinextV2(const IssuerSpec& spec, std::unique_ptr<HttpClient> http, const Clock& clock)
      : spec_(spec), http_(std::move(http)), rest_(spec_, *http_, clock, {&spec_.purchase.secret}) {}

  [[nodiscard]] std::string title() const override { return "CERTInext"; }
  Result<std::string> test_login() override;
  Result<std::string> place(const Wanted& wanted) override;
  Result<std::optional<std::string>> find(const Wanted& wanted, const std::vector<std::string>& known) override;
  Result<Progress> track(const std::string& order) override;
  Result<Task> task(const std::string& order, const std::string& name, ChallengeKind kind) override;
  Result<Done> verify(const std::string& order, const std::string& name, ChallengeKind kind,
                      const std::string& address) override;
  Result<std::string> download(const std::string& order) override;
  Result<Done> cancel(const std::string& order, const std::string& why) override;
  Result<Done> revoke(BytesView leaf, const std::vector<Identifier>& names, int reason) override;

 private:
  struct Call {
    std::string method;
    std::string path;
    Json body = nullptr;
    std::string what;
    std::vector<std::pair<std::string, std::string>> headers = {};
  };
  Result<std::string> token(bool fresh);
  // Any answer that is no matter of the token; `status` tells success.
  Result<RestAnswer> call(const Call& call);
  Error failed(const RestAnswer& answer, const std::string& what) const;
  Result<Json> succeed(const Call& call);
  Json order_body(const Wanted& wanted) const;
  Result<std::optional<Json>> row_of_report(const std::string& query, const std::string& what,
                                            const std::function<bool(const Json&)>& wanted);

  const IssuerSpec spec_;
  const std::unique_ptr<HttpClient> http_;
  RestClient rest_;
  std::mutex mutex_;  // guards what follows
  Secret token_;
  std::chrono::system_clock::time_point token_ends_;
};

Result<std::string> CertinextV2::token(bool fresh) {
  const std::lock_guard lock(mutex_);
  const auto now = rest_.clock().now();
  if (!fresh && !token_.empty() && now + token_reserve < token_ends_) return std::string(token_.text());
  RestRequest request;
  request.path = spec_.purchase.token_uri.empty() ? "oauth/token" : spec_.purchase.token_uri;
  request.content_type = "application/x-www-form-urlencoded";
  request.body = "grant_type=client_credentials&client_id=" + form_field(spec_.purchase.account) +
                 "&client_secret=" + form_field(spec_.purchase.secret.text());
  request.what = "give an access token";
  auto answer = rest_.send(request);
  wipe(request.body);
  if (!answer) return answer.error();
  std::string text = loose_text(answer->json, "access_token");
  if (answer->status != 200 || text.empty()) {
    return rest_.refused(ErrorKind::action_required, request.what,
                         "HTTP status " + std::to_string(answer->status) + " " + detail_text(answer->json) +
                             "; check account and secret, and that the key is one of OAuth mode");
  }
  auto lifetime = json_number(answer->json, "expires_in", "the token");
  constexpr std::int64_t usual = 3600;
  token_ = Secret::from_text(text);
  token_ends_ = now + std::chrono::seconds(lifetime ? std::clamp<std::int64_t>(*lifetime, 1, usual * 24) : usual);
  return text;
}

Result<RestAnswer> CertinextV2::call(const Call& wanted) {
  constexpr int unauthorized = 401;
  for (const bool fresh : {false, true}) {
    auto access = token(fresh);
    if (!access) return access.error();
    RestRequest request;
    request.method = wanted.method;
    request.path = wanted.path;
    if (!wanted.body.is_null()) request.body = dump_json(wanted.body);
    request.headers = wanted.headers;
    request.headers.emplace_back("Authorization", "Bearer " + *access);
    request.what = wanted.what;
    auto answer = rest_.send(request);
    // Tokens may be taken back early: one new one, and the same once more. It was refused, so it did nothing.
    if (answer && answer->status == unauthorized && !fresh) continue;
    return answer;
  }
  return Error{ErrorKind::internal, "a request was not sent"};
}

Error CertinextV2::failed(const RestAnswer& answer, const std::string& what) const {
  const std::string said = detail_text(answer.json);
  Error error = rest_.refused(ErrorKind::issuer_refused, what, "HTTP status " + std::to_string(answer.status) + " " + said);
  if (answer.status == 401 || answer.status == 403) {
    error.kind = ErrorKind::action_required;
    error.message += "; check account and secret, and the rights of its API user";
  } else if (contains_word(said, "balance") || contains_word(said, "insufficient") || contains_word(said, "credit")) {
    error.kind = ErrorKind::action_required;
    error.message += "; fill up the account at the CA";
  } else if (contains_word(said, "product") || contains_word(said, "organization") || contains_word(said, "group")) {
    error.kind = ErrorKind::action_required;
    error.message += "; correct the issuer's options product, group, organization";
  }
  return error;
}

Result<Json> CertinextV2::succeed(const Call& wanted) {
  auto answer = call(wanted);
  if (!answer) return answer.error();
  if (answer->status < 200 || answer->status > 299) return failed(*answer, wanted.what);
  return std::move(answer->json);
}

Result<std::string> CertinextV2::test_login() {
  auto answer = succeed({"GET", std::string(v2_resources) + "auth/me", nullptr, "take our credentials"});
  if (!answer) return answer.error();
  return "account " + rest_.quoted(loose_text(*answer, "accountNumber")) + " at CERTInext";
}

std::string plain_phone(std::string phone) {
  phone.erase(std::remove(phone.begin(), phone.end(), '-'), phone.end());
  return phone;
}

Json person_json(const Person& person) {
  Json json{{"name", person.name}, {"email", person.email}, {"phone", plain_phone(person.phone)}};
  if (!person.title.empty()) json["designation"] = person.title;
  return json;
}

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
            {"csr", pem_of_request(wanted.request)},
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
  Call order{"POST", "api/certinext/v2/ssl-certificates", order_body(wanted),
             "accept an order for " + wanted.identifiers.front().value};
  order.headers.emplace_back("X-Product-Code", spec_.purchase.product);
  auto answer = succeed(order);
  if (!answer) return answer.error();
  std::string number = loose_text(*answer, "orderId");
  if (number.empty()) {
    return rest_.refused(ErrorKind::connection, order.what, "it names no order, so it is not known whether there is an order");
  }
  return number;
}

Result<std::optional<Json>> CertinextV2::row_of_report(const std::string& query, const std::string& what,
                                                       const std::function<bool(const Json&)>& wanted) {
  // A page past the end repeats the last one: only the number of pages ends the reading.
  for (unsigned page = 1; page <= pages_at_most; ++page) {
    auto answer = succeed({"GET",
                           std::string(v2_resources) + "reports/orders?page=" + std::to_string(page) +
                               "&size=" + std::to_string(rows_in_page) + query,
                           nullptr, what});
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
    return ours && std::find(known.begin(), known.end(), loose_text(one, "orderNumber")) == known.end();
  });
  if (!row) return row.error();
  if (!*row) return std::optional<std::string>();
  return std::optional<std::string>(loose_text(**row, "orderNumber"));
}

Result<Progress> CertinextV2::track(const std::string& order) {
  const std::string what = "track the order " + order;
  auto answer = call({"GET", v2_orders + order, nullptr, what});
  if (!answer) return answer.error();
  if (answer->status == 404) {
    Error error = failed(*answer, what);
    error.kind = ErrorKind::issuer_refused;
    error.problem = std::make_shared<const Problem>(Problem{order_forgotten, "", "", {}});
    return error;
  }
  if (answer->status != 200) {
    Error error = failed(*answer, what);
    if (error.kind == ErrorKind::issuer_refused) error.kind = ErrorKind::action_required;
    return error;
  }
  Progress progress;
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
  const std::string what = "tell how " + name + " is to be validated";
  auto answer =
      call({"GET", v2_orders + order + "/dcv?domain=" + form_field(name) + "&method=" + method_word(kind), nullptr, what});
  if (!answer) return answer.error();
  if (answer->status != 200) {
    Error error = failed(*answer, what);
    if (contains_word(error.message, already_verified)) {
      task.readiness = Task::Readiness::verified;
    } else if (answer->status == 404 || answer->status == 409) {
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

Result<Done> CertinextV2::verify(const std::string& order, const std::string& name, ChallengeKind kind, const std::string&) {
  const std::string what = "validate " + name;
  auto answer = call({"POST", v2_orders + order + "/dcv/verify", Json{{"domain", name}, {"method", method_word(kind)}}, what});
  if (!answer) return answer.error();
  if (answer->status < 300) return Done{};
  Error error = failed(*answer, what);
  if (contains_word(error.message, already_verified)) return Done{};
  return error;
}

Result<std::string> CertinextV2::download(const std::string& order) {
  constexpr std::chrono::seconds soon{5};
  const std::string what = "hand out the certificate of the order " + order;
  auto answer = call({"GET", v2_orders + order + "/certificate", nullptr, what});
  if (!answer) return answer.error();
  if (answer->status != 200) {
    Error error = failed(*answer, what);
    // Between issued and to be had there is a short while.
    if (answer->status == 422 || answer->status == 404) {
      error.kind = ErrorKind::rate_limited;
      error.retry_after = soon;
    } else if (error.kind == ErrorKind::issuer_refused) {
      error.kind = ErrorKind::action_required;
    }
    return error;
  }
  std::string pem = loose_text(answer->json, "certificatePem") + "\n";
  for (const auto& one : member_of(answer->json, "chainPem")) {
    if (one.is_string()) pem += one.get<std::string>() + "\n";
  }
  return pem;
}

Result<Done> CertinextV2::cancel(const std::string& order, const std::string& why) {
  auto answer = succeed({"POST", v2_orders + order + "/cancel", Json{{"reason", why}}, "cancel the order " + order});
  if (!answer) return answer.error();
  return Done{};
}

Result<Done> CertinextV2::revoke(BytesView leaf, const std::vector<Identifier>&, int reason) {
  const auto word =
      std::find_if(reason_words.begin(), reason_words.end(), [&](const auto& pair) { return pair.first == reason; });
  if (word == reason_words.end()) {
    return Error{ErrorKind::configuration,
                 rest_.who() +
                     " takes only the reasons keyCompromise (1), affiliationChanged (3), superseded (4), "
                     "cessationOfOperation (5) and privilegeWithdrawn (9); say one of them"};
  }
  auto serial = serial_number_of(leaf);
  if (!serial) return serial.error();
  auto row = row_of_report("&status=issued", "find the order of this certificate",
                           [&](const Json& one) { return serial->is(loose_text(one, "certificateSerialNumber")); });
  if (!row) return row.error();
  if (!*row) {
    return Error{ErrorKind::issuer_refused, rest_.who() + " lists no order with the serial number " + serial->decimal +
                                                "; revoke the certificate in the portal"};
  }
  auto answer = succeed({"POST", v2_orders + loose_text(**row, "orderNumber") + "/revoke",
                         Json{{"reason", word->second}, {"note", "revoked by evercert"}}, "revoke the certificate"});
  if (!answer) return answer.error();
  return Done{};
}

}  // namespace

std::unique_ptr<CommercialApi> make_certinext_v2(const IssuerSpec& spec, std::unique_ptr<HttpClient> http, const Clock& clock) {
  return std::make_unique<CertinextV2>(spec, std::move(http), clock);
}

}  // namespace evercert
