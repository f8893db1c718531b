// Sectigo Certificate Manager (SCM), the classic interface: three headers log in with every request, errors are a negative code
// with a description.
#include <algorithm>
#include <array>
#include <map>

#include "agent/issuer/commercial_issuer.h"
#include "agent/issuer/rest.h"

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
constexpr std::array<int, 6> passing{-2, -65, -129, -140, -195, -196};
constexpr int unknown_order = -124;
constexpr int already_revoked = -159;
constexpr std::array<int, 5> sectigo_reasons{0, 1, 3, 4, 5};

int code_in(const Json& answer) {
  auto code = json_number(answer, "code", "the answer");
  return code && *code > -100000 && *code < 100000 ? static_cast<int>(*code) : 0;
}

template <std::size_t count>
bool among(const std::array<int, count>& codes, int code) {
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

class Sectigo : public CommercialApi {
 public:
  Sectigo(const IssuerSpec& spec, std::unique_ptr<HttpClient> http, const Clock& clock)
      : spec_(spec), http_(std::move(http)), rest_(spec_, *http_, clock, {&spec_.purchase.secret}) {}

  [[nodiscard]] std::string title() const override { return "Sectigo"; }
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
  // Errors carry the CA's code as the type of their problem.
  Result<Json> get(const std::string& method, const std::string& path, const Json& body, const std::string& what);
  Error failed(const RestAnswer& answer, const std::string& what) const;
  static int code_of(const Error& error) { return error.problem ? std::atoi(error.problem->type.c_str()) : 0; }
  void add_validation(Progress& progress, const Json& answer) const;

  const IssuerSpec spec_;
  const std::unique_ptr<HttpClient> http_;
  RestClient rest_;
};

Result<RestAnswer> Sectigo::ask(const std::string& method, const std::string& path, const Json& body, const std::string& what,
                                bool text) {
  RestRequest request;
  request.method = method;
  request.path = path;
  if (!body.is_null()) request.body = dump_json(body);
  request.content_type = "application/json;charset=UTF-8";
  request.headers = {{"login", spec_.purchase.account},
                     {"password", std::string(spec_.purchase.secret.text())},
                     {"customerUri", spec_.purchase.customer}};
  request.what = what;
  request.text = text;
  return rest_.send(request);
}

Error Sectigo::failed(const RestAnswer& answer, const std::string& what) const {
  const int code = code_in(answer.json);
  const std::string said = loose_text(answer.json, "description");
  Error error = rest_.refused(ErrorKind::issuer_refused, what,
                              "HTTP status " + std::to_string(answer.status) + ", " + std::to_string(code) + " " + said);
  error.problem = std::make_shared<const Problem>(Problem{std::to_string(code), rest_.quoted(said), "", {}});
  if (answer.status == 401 || answer.status == 403 || among(of_login, code)) {
    error.kind = ErrorKind::action_required;
    error.message += "; check account, secret and customer, and that its role may order by the interface";
  } else if (among(passing, code)) {
    error.kind = ErrorKind::connection;
  } else if (among(of_sectigo_settings, code)) {
    error.kind = ErrorKind::action_required;
    error.message += "; correct the issuer's options product, term, organization, custom_field, or the domain at the CA";
  } else if (contains_word(said, "balance") || contains_word(said, "insufficient") || contains_word(said, "credit")) {
    error.kind = ErrorKind::action_required;
    error.message += "; fill up the account at the CA";
  }
  return error;
}

Result<Json> Sectigo::get(const std::string& method, const std::string& path, const Json& body, const std::string& what) {
  auto answer = ask(method, path, body, what);
  if (!answer) return answer.error();
  if (answer->status < 200 || answer->status > 299) return failed(*answer, what);
  return std::move(answer->json);
}

Result<std::string> Sectigo::test_login() {
  auto answer = get("GET", "organization/v1", nullptr, "take our credentials");
  if (!answer) return answer.error();
  return spec_.purchase.account + " of " + spec_.purchase.customer + ", with " + std::to_string(answer->size()) +
         " organizations";
}

Result<std::string> Sectigo::place(const Wanted& wanted) {
  const Purchase& purchase = spec_.purchase;
  std::string names;
  for (const auto& identifier : wanted.identifiers) names += (names.empty() ? "" : ",") + identifier.value;
  Json body{{"orgId", std::atoll(purchase.organization.c_str())},
            {"csr", pem_of_request(wanted.request)},
            {"certType", std::atoll(purchase.product.c_str())},
            {"term", purchase.term},
            {"subjAltNames", names},
            {"comments", (purchase.comments.empty() ? "" : purchase.comments + " ") + mark_of(wanted)},
            {"dcvMode", mode_word(spec_.challenge)}};
  if (spec_.challenge == ChallengeKind::email) body["dcvEmail"] = purchase.email;
  std::string recipients;
  for (const auto& address : purchase.recipients) recipients += (recipients.empty() ? "" : ",") + address;
  if (!recipients.empty()) body["externalRequester"] = recipients;
  for (const auto& [name, value] : purchase.custom_fields) body["customFields"].push_back({{"name", name}, {"value", value}});
  const std::string what = "accept an order for " + wanted.identifiers.front().value;
  auto answer = get("POST", std::string(ssl) + "/enroll", body, what);
  if (!answer) return answer.error();
  std::string number = loose_text(*answer, "sslId");
  if (number.empty()) {
    return rest_.refused(ErrorKind::connection, what, "it names no order, so it is not known whether there is an order");
  }
  return number;
}

Result<std::optional<std::string>> Sectigo::find(const Wanted& wanted, const std::vector<std::string>& known) {
  const std::string mark = mark_of(wanted);
  std::vector<long long> numbers;
  for (unsigned position = 0;; position += sectigo_rows) {
    auto rows = get("GET",
                    std::string(ssl) + "?commonName=" + form_field(wanted.identifiers.front().value) +
                        "&size=" + std::to_string(sectigo_rows) + "&position=" + std::to_string(position),
                    nullptr, "list our orders");
    if (!rows) return rows.error();
    if (!rows->is_array()) break;
    for (const auto& row : *rows) numbers.push_back(std::atoll(loose_text(row, "sslId").c_str()));
    if (rows->size() < sectigo_rows) break;
  }
  // What an interrupted call left behind is among the newest.
  std::sort(numbers.rbegin(), numbers.rend());
  if (numbers.size() > sectigo_details) numbers.resize(sectigo_details);
  for (const auto number : numbers) {
    const std::string order = std::to_string(number);
    if (std::find(known.begin(), known.end(), order) != known.end()) continue;
    auto detail = get("GET", std::string(ssl) + "/" + order, nullptr, "show the order " + order);
    if (!detail) return detail.error();
    if (loose_text(*detail, "comments").find(mark) != std::string::npos) return std::optional<std::string>(order);
  }
  return std::optional<std::string>();
}

void Sectigo::add_validation(Progress& progress, const Json& answer) const {
  const Json& whole = answer.is_array() && !answer.empty() ? answer.front() : answer;
  for (const auto& entry : member_of(member_of(whole, "dcvLog"), "log")) {
    progress.domains_known = true;
    const std::string status = normal_word(loose_text(entry, "dcvStatus"));
    progress.domains.push_back({loose_text(entry, "domainName"), status == "validated", status == "rejected"});
  }
}

Result<Progress> Sectigo::track(const std::string& order) {
  auto detail = get("GET", std::string(ssl) + "/" + order + "?dateFormat=ISO_HMS", nullptr, "track the order " + order);
  if (!detail) {
    Error error = detail.error();
    if (code_of(error) == unknown_order) {
      error.kind = ErrorKind::issuer_refused;
      error.problem = std::make_shared<const Problem>(Problem{order_forgotten, "", "", {}});
    } else if (error.kind == ErrorKind::issuer_refused) {
      error.kind = ErrorKind::action_required;
    }
    return error;
  }
  Progress progress;
  const std::string shown = loose_text(*detail, "status");
  const std::string status = normal_word(shown);
  if (status == "issued") {
    progress.stage = Stage::issued;
    return progress;
  }
  if (status == "declined" || status == "rejected" || status == "invalid" || status == "revoked" || status == "expired" ||
      status == "replaced") {
    progress.stage = Stage::dead;
    progress.said = "is " + rest_.quoted(shown) + " at the CA";
    return progress;
  }
  if (status == "requested") {
    progress.stage = Stage::people;
    progress.said = "waits until an administrator of Certificate Manager approves it";
    return progress;
  }
  auto validation = get("GET", std::string(ssl) + "/" + order + "/dcv", nullptr, "tell how names are validated");
  // Customers whose domains are validated beforehand have none for single orders.
  if (validation) add_validation(progress, *validation);
  return progress;
}

Result<Task> Sectigo::task(const std::string& order, const std::string& name, ChallengeKind kind) {
  Task task;
  auto answer = get("GET", std::string(ssl) + "/" + order + "/dcv", nullptr, "tell how " + name + " is to be validated");
  if (!answer) {
    if (answer.error().kind != ErrorKind::issuer_refused) return answer.error();
    task.readiness = Task::Readiness::not_yet;
    return task;
  }
  const Json& whole = answer->is_array() && !answer->empty() ? answer->front() : *answer;
  task.readiness = Task::Readiness::not_yet;
  for (const auto& entry : member_of(member_of(whole, "dcvLog"), "log")) {
    const std::string domain = loose_text(entry, "domainName");
    const bool here = domain == name || "*." + domain == name;
    if (here && normal_word(loose_text(entry, "dcvStatus")) == "validated") {
      task.readiness = Task::Readiness::verified;
      return task;
    }
  }
  for (const auto& entry : member_of(whole, "instructions")) {
    const std::string domain = loose_text(entry, "domainName");
    if (domain != name && "*." + domain != name) continue;
    task.readiness = Task::Readiness::open;
    const std::string mode = loose_text(entry, "dcvMode");
    if (normal_word(mode).find(normal_word(mode_word(kind))) == std::string::npos) {
      task.readiness = Task::Readiness::refused;
      task.said = "the order was placed with " + rest_.quoted(mode) + ", and Sectigo changes that only in the portal";
      return task;
    }
    const std::string url = loose_text(entry, "url");
    task.file = url.substr(url.rfind('/') + 1);
    task.content = loose_text(entry, "file");
    task.record = loose_text(entry, "host");
    task.value = loose_text(entry, "point");
    for (std::string* text : {&task.record, &task.value}) {
      if (kind == ChallengeKind::dns_cname || text == &task.record) {
        while (text->ends_with('.')) text->pop_back();
      }
    }
    const bool complete = kind == ChallengeKind::http_file ? !task.file.empty() && !task.content.empty()
                          : kind == ChallengeKind::email   ? true
                                                           : !task.record.empty() && !task.value.empty();
    if (!complete) {
      task.readiness = Task::Readiness::refused;
      task.said = "the CA does not say what " + std::string(to_string(kind)) + " must show for " + name;
    }
  }
  return task;
}

Result<Done> Sectigo::verify(const std::string& order, const std::string& name, ChallengeKind kind, const std::string&) {
  // The mail went out with the order.
  if (kind == ChallengeKind::email) return Done{};
  auto answer = get("POST", std::string(ssl) + "/" + order + "/dcv/recheck", nullptr, "validate " + name);
  if (!answer) return answer.error();
  return Done{};
}

Result<std::string> Sectigo::download(const std::string& order) {
  constexpr std::chrono::seconds soon{15};
  std::string pem;
  // The certificate by itself and what is above it: their order differs between the formats that hold both.
  for (const char* format : {"x509CO", "x509IOR"}) {
    const std::string what = "hand out the certificate of the order " + order;
    auto answer = ask("GET", std::string(ssl) + "/collect/" + order + "?format=" + format, nullptr, what, true);
    if (!answer) return answer.error();
    if (answer->status != 200) {
      Error error = failed(*answer, what);
      if (among(not_collectable_yet, code_of(error))) {
        error.kind = ErrorKind::rate_limited;
        error.retry_after = soon;
      } else if (error.kind == ErrorKind::issuer_refused) {
        error.kind = ErrorKind::action_required;
      }
      return error;
    }
    pem += answer->text + "\n";
  }
  return pem;
}

Result<Done> Sectigo::cancel(const std::string& order, const std::string& why) {
  auto answer = get("POST", std::string(ssl) + "/decline/" + order, Json{{"message", why}}, "decline the order " + order);
  if (!answer) return answer.error();
  return Done{};
}

Result<Done> Sectigo::revoke(BytesView leaf, const std::vector<Identifier>&, int reason) {
  if (!among(sectigo_reasons, reason)) {
    return Error{ErrorKind::configuration, rest_.who() +
                                               " takes only the reasons unspecified, keyCompromise, "
                                               "affiliationChanged, superseded and cessationOfOperation"};
  }
  auto serial = serial_number_of(leaf);
  if (!serial) return serial.error();
  std::string colons;
  const std::string digits = serial->octets();
  for (std::size_t i = 0; i < digits.size(); i += 2) colons += (colons.empty() ? "" : ":") + digits.substr(i, 2);
  std::transform(colons.begin(), colons.end(), colons.begin(), [](unsigned char c) { return std::toupper(c); });
  auto answer = get("POST", std::string(ssl) + "/revoke/serial/" + colons,
                    Json{{"reasonCode", reason}, {"reason", "revoked by evercert"}}, "revoke the certificate");
  if (!answer && code_of(answer.error()) != already_revoked) return answer.error();
  return Done{};
}

}  // namespace

std::unique_ptr<CommercialApi> make_sectigo(const IssuerSpec& spec, std::unique_ptr<HttpClient> http, const Clock& clock) {
  return std::make_unique<Sectigo>(spec, std::move(http), clock);
}

}  // namespace evercert
