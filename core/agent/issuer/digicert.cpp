// DigiCert CertCentral, Services API v2: an API key in a header, errors as a list of codes and messages.
#include <algorithm>
#include <array>
#include <map>

#include "agent/issuer/commercial_issuer.h"
#include "agent/issuer/rest.h"

namespace evercert {
namespace {

constexpr const char* certificate_orders = "order/certificate";
constexpr unsigned digicert_rows = 100;
constexpr std::size_t digicert_details = 50;
// CertCentral's number for a server platform that is none of its list.
constexpr int other_platform = -1;
// The CA's documents give one name for the file of every order.
constexpr const char* validation_file_name = "fileauth.txt";
constexpr std::array<std::pair<int, const char*>, 5> digicert_reasons{
    {{0, "unspecified"}, {1, "key_compromise"}, {3, "affiliation_changed"}, {4, "superseded"}, {5, "cessation_of_operation"}}};

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

class DigiCert : public CommercialApi {
 public:
  DigiCert(const IssuerSpec& spec, std::unique_ptr<HttpClient> http, const Clock& clock)
      : spec_(spec), http_(std::move(http)), rest_(spec_, *http_, clock, {&spec_.purchase.secret}) {}

  [[nodiscard]] std::string title() const override { return "CertCentral"; }
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
  Result<RestAnswer> ask(const std::string& method, const std::string& path, const Json& body, const std::string& what,
                         bool text = false);
  Result<Json> get(const std::string& method, const std::string& path, const Json& body, const std::string& what);
  Error failed(const RestAnswer& answer, const std::string& what) const;
  static std::string order_path(const std::string& order) { return std::string(certificate_orders) + "/" + order; }

  const IssuerSpec spec_;
  const std::unique_ptr<HttpClient> http_;
  RestClient rest_;
};

Result<RestAnswer> DigiCert::ask(const std::string& method, const std::string& path, const Json& body, const std::string& what,
                                 bool text) {
  RestRequest request;
  request.method = method;
  request.path = path;
  if (!body.is_null()) request.body = dump_json(body);
  request.headers = {{"X-DC-DEVKEY", std::string(spec_.purchase.secret.text())}};
  request.what = what;
  request.text = text;
  return rest_.send(request);
}

Error DigiCert::failed(const RestAnswer& answer, const std::string& what) const {
  std::string said;
  std::string code;
  for (const auto& one : member_of(answer.json, "errors")) {
    if (code.empty()) code = loose_text(one, "code");
    said += (said.empty() ? "" : "; ") + loose_text(one, "code") + " " + loose_text(one, "message");
  }
  Error error = rest_.refused(ErrorKind::issuer_refused, what, "HTTP status " + std::to_string(answer.status) + " " + said);
  error.problem = std::make_shared<const Problem>(Problem{code, rest_.quoted(said), "", {}});
  if (answer.status == 401 || answer.status == 403) {
    error.kind = ErrorKind::action_required;
    error.message += "; check secret, and the rights of this API key";
  } else if (contains_word(said, "product") || contains_word(said, "organization") || contains_word(said, "validity")) {
    error.kind = ErrorKind::action_required;
    error.message += "; correct the issuer's options product, organization, term";
  } else if (contains_word(said, "balance") || contains_word(said, "fund") || contains_word(said, "credit")) {
    error.kind = ErrorKind::action_required;
    error.message += "; fill up the account at the CA";
  }
  return error;
}

Result<Json> DigiCert::get(const std::string& method, const std::string& path, const Json& body, const std::string& what) {
  auto answer = ask(method, path, body, what);
  if (!answer) return answer.error();
  if (answer->status < 200 || answer->status > 299) return failed(*answer, what);
  return std::move(answer->json);
}

Result<std::string> DigiCert::test_login() {
  auto answer = get("GET", "user/me", nullptr, "take our credentials");
  if (!answer) return answer.error();
  return "user " + rest_.quoted(loose_text(*answer, "username")) + " at CertCentral";
}

Result<std::string> DigiCert::place(const Wanted& wanted) {
  const Purchase& purchase = spec_.purchase;
  Json names = Json::array();
  for (const auto& identifier : wanted.identifiers) names.push_back(identifier.value);
  Json body{{"certificate",
             {{"common_name", wanted.identifiers.front().value},
              {"dns_names", std::move(names)},
              {"csr", pem_of_request(wanted.request)},
              {"signature_hash", "sha256"},
              {"server_platform", {{"id", other_platform}}}}},
            {"order_validity", {{"years", purchase.term}}},
            {"dcv_method", token_method(spec_.challenge)},
            {"alternative_order_id", mark_of(wanted)},
            {"comments", (purchase.comments.empty() ? "" : purchase.comments + " ") + mark_of(wanted)}};
  if (!purchase.organization.empty()) body["organization"] = {{"id", std::atoll(purchase.organization.c_str())}};
  if (!purchase.group.empty()) body["container"] = {{"id", std::atoll(purchase.group.c_str())}};
  for (const auto& [name, value] : purchase.custom_fields) {
    body["custom_fields"].push_back({{"metadata_id", std::atoll(name.c_str())}, {"value", value}});
  }
  const std::string what = "accept an order for " + wanted.identifiers.front().value;
  auto answer = get("POST", order_path(purchase.product), body, what);
  if (!answer) return answer.error();
  std::string number = loose_text(*answer, "id");
  if (number.empty()) {
    return rest_.refused(ErrorKind::connection, what, "it names no order, so it is not known whether there is an order");
  }
  return number;
}

Result<std::optional<std::string>> DigiCert::find(const Wanted& wanted, const std::vector<std::string>& known) {
  const std::string mark = mark_of(wanted);
  auto rows = get("GET",
                  std::string(certificate_orders) + "?limit=" + std::to_string(digicert_rows) +
                      "&sort=-order_id&filters[common_name]=" + form_field(wanted.identifiers.front().value),
                  nullptr, "list our orders");
  if (!rows) return rows.error();
  std::size_t looked_at = 0;
  for (const auto& row : member_of(*rows, "orders")) {
    const std::string order = loose_text(row, "id");
    if (order.empty() || std::find(known.begin(), known.end(), order) != known.end()) continue;
    if (++looked_at > digicert_details) break;
    auto detail = get("GET", order_path(order), nullptr, "show the order " + order);
    if (!detail) return detail.error();
    // In which member the mark comes back is not documented.
    if (dump_json(*detail).find(mark) != std::string::npos) return std::optional<std::string>(order);
  }
  return std::optional<std::string>();
}

Result<Progress> DigiCert::track(const std::string& order) {
  const std::string what = "track the order " + order;
  auto answer = ask("GET", order_path(order), nullptr, what);
  if (!answer) return answer.error();
  if (answer->status != 200) {
    Error error = failed(*answer, what);
    if (answer->status == 404) {
      error.kind = ErrorKind::issuer_refused;
      error.problem = std::make_shared<const Problem>(Problem{order_forgotten, "", "", {}});
    } else if (error.kind == ErrorKind::issuer_refused) {
      error.kind = ErrorKind::action_required;
    }
    return error;
  }
  Progress progress;
  const std::string status = loose_text(answer->json, "status");
  if (status == "issued" || status == "waiting_pickup") {
    progress.stage = Stage::issued;
  } else if (status == "rejected" || status == "revoked" || status == "canceled" || status == "expired" ||
             status == "renewed") {
    progress.stage = Stage::dead;
    progress.said = "is " + status + " at the CA";
  } else if (status == "needs_approval") {
    progress.stage = Stage::people;
    progress.said = "waits until an administrator of CertCentral approves it";
  } else if (status == "pending") {
    progress.domains_known = true;
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
  if (kind != spec_.challenge) {
    auto changed = get("PUT", order_path(order) + "/dcv-method", Json{{"dcv_method", token_method(kind)}},
                       "change how " + name + " is validated");
    if (!changed) return changed.error();
  }
  auto answer = get("PUT", order_path(order) + "/dcv-random-value", nullptr, "tell how " + name + " is to be validated");
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
  task.file = validation_file_name;
  task.content = value;
  task.record = kind == ChallengeKind::dns_cname ? "_dnsauth." + host : host;
  task.value = kind == ChallengeKind::dns_cname ? value + ".dcv.digicert.com" : value;
  return task;
}

Result<Done> DigiCert::verify(const std::string& order, const std::string& name, ChallengeKind kind, const std::string&) {
  // The mail goes out with the order.
  if (kind == ChallengeKind::email) return Done{};
  auto answer = get("PUT", order_path(order) + "/check-dcv", nullptr, "validate " + name);
  if (!answer) return answer.error();
  return Done{};
}

Result<std::string> DigiCert::download(const std::string& order) {
  constexpr std::chrono::seconds soon{15};
  const std::string what = "hand out the certificate of the order " + order;
  auto answer = ask("GET", "certificate/download/order/" + order + "/format/pem_all", nullptr, what, true);
  if (!answer) return answer.error();
  if (answer->status == 200) return answer->text;
  Error error = failed(*answer, what);
  if (error.kind == ErrorKind::issuer_refused) {
    error.kind = ErrorKind::rate_limited;
    error.retry_after = soon;
  }
  return error;
}

Result<Done> DigiCert::cancel(const std::string& order, const std::string& why) {
  auto answer =
      get("PUT", order_path(order) + "/status", Json{{"status", "CANCELED"}, {"note", why}}, "cancel the order " + order);
  if (!answer) return answer.error();
  return Done{};
}

Result<Done> DigiCert::revoke(BytesView leaf, const std::vector<Identifier>&, int reason) {
  const auto word =
      std::find_if(digicert_reasons.begin(), digicert_reasons.end(), [&](const auto& pair) { return pair.first == reason; });
  if (word == digicert_reasons.end()) {
    return Error{ErrorKind::configuration, rest_.who() +
                                               " takes only the reasons unspecified, keyCompromise, "
                                               "affiliationChanged, superseded and cessationOfOperation"};
  }
  auto serial = serial_number_of(leaf);
  if (!serial) return serial.error();
  auto answer = get("PUT", "certificate/" + serial->octets() + "/revoke",
                    Json{{"comments", "revoked by evercert"}, {"revocation_reason", word->second}}, "revoke the certificate");
  if (!answer) return answer.error();
  return Done{};
}

}  // namespace

std::unique_ptr<CommercialApi> make_digicert(const IssuerSpec& spec, std::unique_ptr<HttpClient> http, const Clock& clock) {
  return std::make_unique<DigiCert>(spec, std::move(http), clock);
}

}  // namespace evercert
