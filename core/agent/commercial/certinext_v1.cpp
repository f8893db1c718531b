#include "agent/commercial/certinext_v1.h"

#include <algorithm>
#include <array>

#include "serving/base/bounds.h"
#include "serving/base/encoding.h"

namespace evercert {
namespace {

constexpr const char* order_not_found = "EMS-913";
constexpr const char* order_not_found_either = "EMS-943";
constexpr const char* not_for_this_state = "EMS-956";
constexpr const char* domain_verified = "EMS-1080";
constexpr const char* duplicate_request = "EMS-1099";
// What is wrong with our settings: nothing changes before somebody corrects them.
constexpr std::array<const char*, 5> of_settings{"EMS-918", "EMS-1073", "EMS-1091", "EMS-1162", "EMS-1269"};
// What is said of an order, not of us or of the request.
constexpr std::array<const char*, 12> of_states{"EMS-913",  "EMS-918",  "EMS-939",  "EMS-943",  "EMS-956",  "EMS-1073",
                                                "EMS-1080", "EMS-1082", "EMS-1091", "EMS-1099", "EMS-1162", "EMS-1269"};
constexpr const char* validate = "ValidateCredentials";
constexpr int unauthorized = 401;
constexpr int forbidden = 403;
constexpr std::array<int, 4> downloadable{9, 15, 20, 23};
constexpr std::array<int, 7> dead_certificates{5, 8, 13, 14, 18, 19, 21};
constexpr unsigned rows_per_page = 500;
constexpr unsigned v1_page_limit = 200;
// An order that was interrupted is looked for among those of the last days.
constexpr std::chrono::hours looked_back{72};
// The CA uses these words both for a limit on bursts and for a user who is not active.
constexpr std::string_view ambiguous_limit = "Inactive Account User";
constexpr unsigned patient_tries = 5;
constexpr std::chrono::seconds after_a_burst{30};
// The number of a call: digits only, which every reading of the documents allows.
constexpr std::uint64_t largest_transaction = 1'000'000'000'000'000'000;
constexpr std::uint64_t smallest_transaction = 100'000'000'000'000'000;

bool holds(const auto& values, int value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

bool is_one_of(const auto& codes, const std::string& code) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

std::string new_transaction() {
  std::uint64_t number = 0;
  for (const std::uint8_t byte : random_bytes(sizeof number)) number = number << 8 | byte;
  return std::to_string(smallest_transaction + number % (largest_transaction - smallest_transaction));
}

int number_of(const Json& object, std::string_view member) {
  return static_cast<int>(whole_number_in(loose_text(object, member), 0, 999'999).value_or(0));
}

std::string method_number(ChallengeKind kind) {
  return kind == ChallengeKind::dns_txt ? "1" : kind == ChallengeKind::http_file ? "2" : "3";
}

// "+91-8012345678" in its two parts.
std::pair<std::string, std::string> phone_parts(const std::string& phone) {
  const auto dash = phone.find('-');
  if (dash == std::string::npos) return {"", ""};
  return {phone.substr(1, dash - 1), phone.substr(dash + 1)};
}

}  // namespace

CertinextV1::CertinextV1(const IssuerSpec& spec, std::unique_ptr<HttpClient> http, const Clock& clock)
    : RestApi(spec, std::move(http), clock,
              {"check account and secret, and the rights of its API user",
               "correct the issuer's options product, group, organization, signer"}) {}

Json CertinextV1::meta() const {
  const std::string time = zoned_time_of(rest_.clock().now());
  const std::string transaction = new_transaction();
  std::string signed_text = std::string(spec_.purchase.secret.text()) + time + transaction;
  const std::string digest = to_hex(sha256(bytes_of(signed_text)));
  wipe(signed_text);
  return {{"ver", "1.0"}, {"ts", time}, {"txn", transaction}, {"accountNumber", spec_.purchase.account}, {"authKey", digest}};
}

bool CertinextV1::succeeded(const RestAnswer& answer) const {
  return loose_text(member_of(answer.json, "meta"), "status") == "1";
}

Refusal CertinextV1::refusal_in(const RestAnswer& answer) const {
  const Json& meta = member_of(answer.json, "meta");
  return {loose_text(meta, "errorCode"), loose_text(meta, "errorMessage")};
}

RefusalCause CertinextV1::cause_of(const Refusal& refusal) const {
  if (is_one_of(of_settings, refusal.code)) return RefusalCause::settings;
  // Each order has a key of its own: the CA knows this one already.
  return refusal.code == duplicate_request ? RefusalCause::passing : RefusalCause::other;
}

// The codes for wrong credentials and for a time that is too far away are not published.
bool CertinextV1::may_be_the_clock(const Refusal& refusal) const {
  return !is_one_of(of_states, refusal.code);
}

AccountPace CertinextV1::pace() const {
  return {std::nullopt, certinext_orders};
}

std::optional<bool> CertinextV1::takes_us() {
  const RestRequest request{"POST", validate, "take our credentials", Json::object()};
  auto answer = ask(request);
  if (!answer) return std::nullopt;
  const std::string status = loose_text(member_of(answer->json, "meta"), "status");
  const bool shut = answer->status == unauthorized || answer->status == forbidden;
  if (status != "1" && status != "0" && !shut) return std::nullopt;
  return status == "1" && !shut;
}

// The words are those for a user who is not active, too: only the login tells one from the other.
void CertinextV1::name_limit(Error& error, const std::string& what) {
  const auto taken = takes_us();
  unsigned tries = 0;
  {
    const std::lock_guard lock(mutex_);
    tries = ++limited_[what];
  }
  if ((taken && !*taken) || tries > patient_tries) {
    error.kind = ErrorKind::action_required;
    error.message += "; check in the portal whether the API user is active and may order";
    return;
  }
  error.kind = ErrorKind::rate_limited;
  error.retry_after = after_a_burst;
  error.message += " (the CA says so, too, when it is asked too often)";
  slow_down(error, true);
}

void CertinextV1::name_login(Error& error) {
  const auto taken = takes_us();
  if (!taken || *taken) return;
  error.kind = ErrorKind::action_required;
  error.message += std::string("; it does not take our credentials at all: ") + remedies().login;
}

Error CertinextV1::failed(const RestAnswer& answer, const std::string& what) {
  Error error = RestApi::failed(answer, what);
  const Refusal refusal = refusal_in(answer);
  const bool refused = loose_text(member_of(answer.json, "meta"), "status") == "0";
  if (contains_word(refusal.said, ambiguous_limit)) {
    name_limit(error, what);
  } else if (error.kind == ErrorKind::issuer_refused && refused) {
    if (!is_one_of(of_states, refusal.code)) name_login(error);
  } else if (error.kind == ErrorKind::issuer_refused) {
    constexpr int not_found = 404;
    error.kind = answer.status == not_found ? ErrorKind::action_required : ErrorKind::connection;
    if (answer.status == not_found) {
      error.message += ": there is no such interface at this address; uri must end in /emSignHub-API/";
    }
  }
  return error;
}

Result<RestRequest> CertinextV1::signed_request(RestRequest request) {
  request.json["meta"] = meta();
  return request;
}

Result<Json> CertinextV1::call(const char* operation, Json body, const std::string& what, RestRequest::Effect effect) {
  RestRequest request{"POST", operation, what, std::move(body)};
  request.effect = effect;
  auto answer = get(request);
  const std::lock_guard lock(mutex_);
  if (answer && !limited_.empty()) limited_.erase(what);
  return answer;
}

Result<std::string> CertinextV1::test_login() {
  const RestRequest request{"POST", validate, "take our credentials", Json::object()};
  auto answer = ask(request);
  if (!answer) return answer.error();
  if (!succeeded(*answer)) {
    // Nothing else is asked of it than whether it takes us.
    Error error = RestApi::failed(*answer, request.what);
    const bool refused = loose_text(member_of(answer->json, "meta"), "status") == "0";
    if (error.kind != ErrorKind::issuer_refused || !refused) return failed(*answer, request.what);
    error.kind = ErrorKind::action_required;
    error.message += std::string("; ") + remedies().login;
    return error;
  }
  return "account " + spec_.purchase.account + " at CERTInext";
}

Json CertinextV1::order_body(const Wanted& wanted) const {
  const Purchase& purchase = spec_.purchase;
  const Person& technical = purchase.technical_contact.email.empty() ? purchase.requester : purchase.technical_contact;
  const auto [country, mobile] = phone_parts(purchase.requester.phone);
  const auto [technical_country, technical_mobile] =
      phone_parts(technical.phone.empty() ? purchase.requester.phone : technical.phone);
  Json tags = Json::array({mark_of(wanted)});
  for (const auto& tag : purchase.tags) tags.push_back(tag);
  Json certificate{{"domainName", wanted.identifiers.front().value}, {"autoSecureWWW", purchase.www ? "1" : "0"}};
  for (std::size_t i = 1; i < wanted.identifiers.size(); ++i) {
    certificate["additionalDomains"].push_back(wanted.identifiers[i].value);
  }
  Json details{
      {"productCode", purchase.product},
      {"saveAndHold", "0"},
      {"requestorInformation",
       {{"requestorName", purchase.requester.name},
        {"requestorEmail", purchase.requester.email},
        {"requestorIsdCode", country},
        {"requestorMobileNumber", mobile}}},
      {"subscriptionDetails", {{"validity", std::to_string(purchase.term)}, {"autoRenew", "0"}, {"renewCriteria", "30"}}},
      {"certificateInformation", std::move(certificate)},
      {"csr", pem_of_request(wanted.request)},
      {"technicalPointOfContact",
       {{"tpcName", technical.name},
        {"tpcEmail", technical.email},
        {"tpcIsdCode", technical_country},
        {"tpcMobileNumber", technical_mobile}}},
      {"additionalInformation",
       {{"remarks", purchase.comments.empty() ? "ordered by evercert" : purchase.comments}, {"tags", std::move(tags)}}}};
  if (!purchase.requester.title.empty()) details["requestorInformation"]["requestorDesignation"] = purchase.requester.title;
  if (!purchase.group.empty()) details["delegationInformation"] = {{"groupNumber", purchase.group}};
  if (!purchase.organization.empty()) {
    details["organizationDetails"] = {{"preVetting", "1"}, {"organizationNumber", purchase.organization}};
  }
  if (!purchase.signer.name.empty()) {
    details["agreementDetails"] = {{"acceptAgreement", "1"},
                                   {"signerName", purchase.signer.name},
                                   {"signerPlace", purchase.signer.place},
                                   {"signerIP", purchase.signer.address}};
  }
  return {{"orderDetails", std::move(details)}};
}

Result<std::string> CertinextV1::place(const Wanted& wanted) {
  const std::string what = "accept an order for " + wanted.identifiers.front().value;
  auto answer = call("GenerateOrderSSL", order_body(wanted), what, RestRequest::Effect::places);
  if (!answer) return answer.error();
  std::string number = loose_text(member_of(*answer, "orderDetails"), "orderNumber");
  if (number.empty()) return nameless(what);
  return number;
}

Result<std::vector<Json>> CertinextV1::report(Json criteria, const std::string& what,
                                              const std::function<bool(const Json&)>& wanted) {
  std::vector<Json> rows;
  criteria["pageSize"] = std::to_string(rows_per_page);
  for (unsigned page = 1; page <= v1_page_limit; ++page) {
    criteria["pageNumber"] = std::to_string(page);
    auto answer = call("GetOrderReport", {{"searchCriteria", criteria}}, what);
    if (!answer) return answer.error();
    const Json& details = member_of(*answer, "orderDetails");
    const Json& list = member_of(details, "ordersArray");
    if (!list.is_array()) break;
    for (const auto& row : list) {
      if (wanted(row)) rows.push_back(row);
    }
    if (list.empty() || static_cast<int>(page) >= number_of(details, "noOfPages")) break;
  }
  return rows;
}

Result<std::optional<std::string>> CertinextV1::find(const Wanted& wanted, const std::vector<std::string>& known) {
  const std::string mark = mark_of(wanted);
  const Json criteria{{"domainName", wanted.identifiers.front().value},
                      {"orderDateFrom", date_of(rest_.clock().now() - looked_back)}};
  auto rows = report(criteria, "list our orders", [&](const Json& row) {
    const Json& tags = member_of(row, "tags");
    return tags.is_array() && std::find(tags.begin(), tags.end(), Json(mark)) != tags.end();
  });
  if (!rows) return rows.error();
  for (const auto& row : *rows) {
    std::string number = loose_text(row, "orderNumber");
    if (!number.empty() && !is_among(known, number)) return std::optional<std::string>(std::move(number));
  }
  return std::optional<std::string>();
}

Progress CertinextV1::progress_of(const Json& details) const {
  Progress progress;
  const int order = number_of(details, "orderStatusId");
  const int certificate = number_of(details, "certificateStatusId");
  const std::string words = rest_.quoted(loose_text(details, "certificateStatus"));
  const std::string place = rest_.quoted(loose_text(details, "trackingUrl"));
  const std::string where = place.empty() ? " in the portal" : " at " + place;
  const auto people = [&](const std::string& said, bool may_pass) {
    progress.stage = Stage::people;
    progress.said = said;
    progress.may_pass = may_pass;
  };
  if (order == 4 || order == 5 || holds(dead_certificates, certificate)) {
    progress.stage = Stage::dead;
    progress.said = "was " + std::string(order == 5 ? "cancelled" : "rejected") + " by the CA: " + words;
  } else if (certificate == 12 || certificate == 22) {
    progress.stage = Stage::dead;
    progress.said = std::string("is over: the certificate ") + (certificate == 12 ? "has expired" : "was revoked");
  } else if (holds(downloadable, certificate)) {
    progress.stage = Stage::issued;
  } else if (order == 7) {
    people("is on hold; ask the CA what it waits for" + where, false);
  } else if (certificate == 3) {
    people("has a discrepancy (" + words + "): answer the CA's question" + where, false);
  } else if (loose_text(member_of(details, "subscriberAgreement"), "status") == "0" && spec_.purchase.signer.name.empty()) {
    people("waits for the subscriber agreement: accept it" + where + ", or set signer", false);
  } else if (order == 8 || order == 9 || certificate == 2 || certificate == 6 || certificate == 16 || certificate == 24) {
    people("waits for an approval by the CA (" + words + "); ask there if it takes long" + where, true);
  }
  const Json& verification = member_of(details, "domainVerification");
  for (const auto& [name, state] : verification.items()) {
    if (!state.is_object()) continue;
    progress.domains_known = true;
    const std::string status = loose_text(state, "dcvStatus");
    progress.domains.push_back({name, status == "1", status == "2"});
    const std::string caa = loose_text(state, "caaStatus");
    const bool open = progress.stage == Stage::working || progress.stage == Stage::people;
    if (open && (caa == "2" || caa == "3")) {
      people("is stopped by the CAA records of " + name + ": add one that permits the CA", false);
    }
  }
  return progress;
}

Result<Progress> CertinextV1::track(const std::string& order) {
  auto answer = call("TrackOrder", {{"orderDetails", {{"orderNumber", order}}}}, "track the order " + order);
  if (!answer) {
    const std::string code = code_of(answer.error());
    const bool unknown = code == order_not_found || code == order_not_found_either;
    return unknown ? forgotten(answer.error()) : paid_for(answer.error());
  }
  return progress_of(member_of(*answer, "orderDetails"));
}

Json CertinextV1::dcv_block(const std::string& order, const std::string& name, ChallengeKind kind) const {
  return {{"requestorEmail", spec_.purchase.requester.email},
          {"orderNumber", order},
          {"domainName", name},
          {"dcvMethod", method_number(kind)}};
}

Result<Task> CertinextV1::task(const std::string& order, const std::string& name, ChallengeKind kind) {
  auto answer = call("GetDcv", {{"dcvDetails", dcv_block(order, name, kind)}}, "tell how " + name + " is to be validated");
  Task task;
  if (!answer) {
    const std::string code = code_of(answer.error());
    if (code == domain_verified) {
      task.readiness = Task::Readiness::verified;
    } else if (code == not_for_this_state) {
      task.readiness = Task::Readiness::not_yet;
    } else if (answer.error().kind == ErrorKind::issuer_refused) {
      task.readiness = Task::Readiness::refused;
      task.said = answer.error().message;
    } else {
      return answer.error();
    }
    return task;
  }
  const Json& details = member_of(*answer, "dcvDetails");
  task.file = loose_text(details, "fileName");
  task.content = loose_text(details, "fileContent");
  task.value = loose_text(details, "token");
  for (const auto& address : member_of(details, "dcvEmails")) {
    if (address.is_string()) task.addresses.push_back(address.get<std::string>());
  }
  const bool complete = kind == ChallengeKind::http_file ? !task.file.empty() && !task.content.empty()
                        : kind == ChallengeKind::dns_txt ? !task.value.empty()
                                                         : true;
  if (!complete) {
    task.readiness = Task::Readiness::refused;
    task.said = "the CA does not say what " + std::string(to_string(kind)) + " must show for " + name;
  }
  return task;
}

Result<Done> CertinextV1::verify(const std::string& order, const std::string& name, ChallengeKind kind,
                                 const std::string& address) {
  Json block = dcv_block(order, name, kind);
  if (!address.empty()) block["dcvEmail"] = address;
  auto answer = call("VerifyDcv", {{"dcvDetails", block}}, "validate " + name, RestRequest::Effect::changes);
  if (!answer && code_of(answer.error()) != domain_verified) return answer.error();
  return Done{};
}

Result<std::string> CertinextV1::download(const std::string& order) {
  constexpr std::chrono::seconds soon{15};
  const std::string what = "hand out the certificate of the order " + order;
  const Json details{{"orderNumber", order}, {"requestorEmail", spec_.purchase.requester.email}};
  auto answer = call("GetCertificate", {{"orderDetails", details}}, what);
  // Some of the states that promise a certificate come before it.
  if (!answer) return too_early(answer.error(), soon);
  const Json& certificates = member_of(*answer, "certificateDetails");
  std::string pem;
  for (const char* member : {"endEntityCertificate", "caCertificate", "rootCertificate"}) {
    pem += loose_text(certificates, member) + "\n";
  }
  return pem;
}

Result<Done> CertinextV1::cancel(const std::string& order, const std::string& why) {
  auto answer = call("RejectOrder", {{"orderDetails", {{"orderNumber", order}, {"rejectRemarks", why}}}},
                     "cancel the order " + order, RestRequest::Effect::changes);
  if (!answer) return answer.error();
  return Done{};
}

Result<std::string> CertinextV1::order_of(const LeafFacts& leaf) {
  for (const auto& name : leaf.identifiers) {
    auto rows = report({{"domainName", name.value}}, "find the order of this certificate",
                       [&](const Json& row) { return same_serial(leaf.serial, loose_text(row, "certificateSerialNumber")); });
    if (!rows) return rows.error();
    if (!rows->empty()) return loose_text(rows->front(), "orderNumber");
  }
  return Error{ErrorKind::issuer_refused, rest_.who() + " lists no order with the serial number " + leaf.serial +
                                              "; revoke the certificate in the portal"};
}

Result<Done> CertinextV1::revoke(const LeafFacts& leaf, int reason, const std::string& comment) {
  auto word = reason_word(reason, &RevocationReason::certinext_v1);
  if (!word) return word.error();
  auto order = order_of(leaf);
  if (!order) return order.error();
  const Json details{{"orderNumber", *order},
                     {"requestorEmail", spec_.purchase.requester.email},
                     {"revokeReasonId", *word},
                     {"revokeRemarks", without_semicolons(comment)}};
  auto answer = call("RevokeOrder", {{"revocationDetails", details}}, "revoke the certificate", RestRequest::Effect::changes);
  if (!answer) return answer.error();
  return Done{};
}

Result<Settled> CertinextV1::revocation_of(const LeafFacts& leaf) {
  auto order = order_of(leaf);
  if (!order) return order.error();
  auto answer = call("TrackOrder", {{"orderDetails", {{"orderNumber", *order}}}}, "track the order " + *order);
  if (!answer) return answer.error();
  constexpr int revoked = 22;
  const Json& details = member_of(*answer, "orderDetails");
  if (number_of(details, "certificateStatusId") == revoked) return Settled::yes;
  switch (number_of(member_of(details, "revocationDetails"), "revokeRequestStatusId")) {
    case 2:
    case 5:
      return Settled::yes;
    case 1:
    case 4:
      return Settled::requested;
    case 3:
    case 6:
      return Settled::refused;
    default:
      return Settled::no;
  }
}

}  // namespace evercert
