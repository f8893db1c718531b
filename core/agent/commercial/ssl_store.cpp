#include "agent/commercial/ssl_store.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "serving/base/bounds.h"
#include "serving/base/encoding.h"

namespace evercert {
namespace {

// The only number of an error that is known.
constexpr std::string_view wrong_login = "-9008";
constexpr std::array<const char*, 8> active_words{"active",    "issued",   "valid",    "complete",
                                                  "completed", "enrolled", "reissued", "replaced"};
constexpr std::array<const char*, 4> ended_words{"cancelled", "expired", "revoked", "rejected"};
// How a validated name is called is not documented; whoever is missed here is only asked for again.
constexpr std::array<const char*, 4> proved_words{"completed", "validated", "verified", "approved"};

template <std::size_t count>
bool is_one_of(const std::array<const char*, count>& words, const std::string& word) {
  return std::any_of(words.begin(), words.end(),
                     [&](const char* one) { return word.size() == std::string_view(one).size() && contains_word(word, one); });
}

// "2/27/2026 3:04:05 PM"; 1900 stands for no date.
std::optional<std::chrono::system_clock::time_point> american_date(const std::string& text) {
  constexpr int year_2000 = 100;
  std::tm parts{};
  if (strptime(text.c_str(), "%m/%d/%Y %I:%M:%S %p", &parts) == nullptr || parts.tm_year < year_2000) return std::nullopt;
  return moment_of(timegm(&parts));
}

}  // namespace

SslStore::SslStore(const IssuerSpec& spec, std::unique_ptr<HttpClient> http, const Clock& clock)
    : RestApi(spec, std::move(http), clock,
              {"check account (the partner code) and secret (its token; live and sandbox have different ones)",
               "correct the issuer's options product, term, organization, requester, custom_field"}) {}

Result<RestRequest> SslStore::signed_request(RestRequest request) {
  // A replay token is never used twice: it tells copies of a request from new ones.
  const Json who{{"PartnerCode", spec_.purchase.account},
                 {"AuthToken", spec_.purchase.secret.text()},
                 {"ReplayToken", to_hex(random_bytes(16))},
                 {"UserAgent", "evercert"}};
  // What is about the account and no order wants it at the top.
  if (request.path == "user/accountdetail" || request.path == "digicert/organizationlist") {
    request.json.update(who);
  } else {
    request.json["AuthRequest"] = who;
  }
  return request;
}

bool SslStore::succeeded(const RestAnswer& answer) const {
  if (!answer.good()) return false;
  // Lists are bare; each of their elements says whether it is one.
  const Json& first = answer.json.is_array() && !answer.json.empty() ? answer.json.front() : answer.json;
  if (first.is_array()) return true;
  return member_of(member_of(first, "AuthResponse"), "isError") == false;
}

Refusal SslStore::refusal_in(const RestAnswer& answer) const {
  const Json& first = answer.json.is_array() && !answer.json.empty() ? answer.json.front() : answer.json;
  Refusal refusal;
  const Json& messages = member_of(member_of(first, "AuthResponse"), "Message");
  for (const auto& message : messages) {
    if (message.is_string()) refusal.said += (refusal.said.empty() ? "" : "; ") + message.get<std::string>();
  }
  if (messages.is_string()) refusal.said = messages.get<std::string>();
  // The number, where there is one, is in the text.
  if (refusal.said.starts_with('-')) refusal.code = refusal.said.substr(0, refusal.said.find(' '));
  return refusal;
}

RefusalCause SslStore::cause_of(const Refusal& refusal) const {
  if (refusal.said.find(wrong_login) != std::string::npos || contains_word(refusal.said, "authentication")) {
    return RefusalCause::login;
  }
  for (const char* word : {"product", "validity", "organization", "contact"}) {
    if (contains_word(refusal.said, word)) return RefusalCause::settings;
  }
  return RefusalCause::other;
}

Result<std::string> SslStore::test_login() {
  // Some calls take a wrong token; this one does not, even for an order that cannot exist.
  const RestRequest request{"POST", "order/status", "take our credentials", Json{{"TheSSLStoreOrderID", "0"}}};
  auto answer = ask(request);
  if (!answer) return answer.error();
  const bool refused = !succeeded(*answer) && cause_of(refusal_in(*answer)) == RefusalCause::login;
  if (!answer->good() || refused) return failed(*answer, request.what);
  return "partner " + spec_.purchase.account + " at The SSL Store";
}

const char* SslStore::method_word(ChallengeKind kind) const {
  switch (kind) {
    case ChallengeKind::http_file:
      return "HTTP";
    case ChallengeKind::dns_cname:
      return is_digicert() ? "dns_cname_token" : "DNS";
    case ChallengeKind::dns_txt:
      return "DNS";
    default:
      return "EMAIL";
  }
}

Result<Json> SslStore::status_of(const std::string& order, const std::string& what) {
  return get({"POST", "order/status", what, Json{{"TheSSLStoreOrderID", order}, {"DateTimeCulture", "en-US"}}});
}

Result<Progress> SslStore::track(const std::string& order) {
  auto answer = status_of(order, "track the order " + order);
  // Which refusal means that the order is not known is not documented: none gives an order up.
  if (!answer) return paid_for(answer.error());
  Progress progress;
  const std::string major = loose_text(member_of(*answer, "OrderStatus"), "MajorStatus");
  const std::string minor = loose_text(member_of(*answer, "OrderStatus"), "MinorStatus");
  const std::string shown = rest_.quoted(major + (minor.empty() ? "" : " (" + minor + ")"));
  progress.ends = american_date(loose_text(*answer, "OrderExpiryDate"));
  if (is_one_of(ended_words, major)) {
    progress.stage = Stage::dead;
    progress.said = "is " + shown + " at the CA";
    return progress;
  }
  if (is_one_of(active_words, major) && minor != ssl_store_pending_reissue) {
    progress.stage = Stage::issued;
    return progress;
  }
  bool proved = true;
  for (const auto& domain : member_of(member_of(*answer, "OrderStatus"), "DomainAuthVettingStatus")) {
    const bool verified = is_one_of(proved_words, loose_text(domain, "dcvStatus"));
    progress.domains_known = true;
    progress.domains.push_back({loose_text(domain, "domain"), verified, false});
    proved = proved && verified;
  }
  if (!progress.domains_known || !proved) return progress;
  for (const auto& step : member_of(member_of(*answer, "OrderStatus"), "AuthenticationStatuses")) {
    if (!contains_word(loose_text(step, "Status"), "pending")) continue;
    progress.stage = Stage::people;
    progress.said = "waits for the CA behind it (" + rest_.quoted(loose_text(step, "AuthenticationStep")) + ": " +
                    rest_.quoted(loose_text(step, "Status")) + "); look at the order in the portal of The SSL Store";
    progress.may_pass = true;
  }
  return progress;
}

// What the CA says of one name; null while it says nothing.
Result<Json> SslStore::vetting_of(const std::string& order, const std::string& name) {
  auto answer = status_of(order, "tell how " + name + " is to be validated");
  if (!answer) return paid_for(answer.error());
  for (const auto& domain : member_of(member_of(*answer, "OrderStatus"), "DomainAuthVettingStatus")) {
    const std::string theirs = loose_text(domain, "domain");
    if (theirs == name || "*." + theirs == name) return Json(domain);
  }
  // Orders for one name may show it at the top only.
  if (loose_text(*answer, "AuthFileContent").empty() && loose_text(*answer, "CNAMEAuthValue").empty()) return Json(nullptr);
  return Json{{"FileName", loose_text(*answer, "AuthFileName")},
              {"FileContents", loose_text(*answer, "AuthFileContent")},
              {"DNSName", loose_text(*answer, "CNAMEAuthName")},
              {"DNSEntry", loose_text(*answer, "CNAMEAuthValue")}};
}

Result<Task> SslStore::task(const std::string& order, const std::string& name, ChallengeKind kind) {
  Task task;
  const bool mail = kind == ChallengeKind::email;
  if (mail && kind == spec_.challenge) return task;
  auto vetting = vetting_of(order, name);
  if (!vetting) return vetting.error();
  const std::string method = loose_text(*vetting, "dcvMethod");
  if (is_one_of(proved_words, loose_text(*vetting, "dcvStatus"))) {
    task.readiness = Task::Readiness::verified;
    return task;
  }
  if (kind != spec_.challenge && !method.empty() && method != method_word(kind)) {
    auto changed = tell({"POST", "order/changeapproveremail", "change how " + name + " is validated",
                         Json{{"TheSSLStoreOrderID", order},
                              {"ResendEmail", mail ? spec_.purchase.email : std::string(method_word(kind))},
                              {"DomainNames", name}}});
    if (!changed) return changed.error();
    vetting = vetting_of(order, name);
    if (!vetting) return vetting.error();
  }
  task.readiness = Task::Readiness::not_yet;
  task.file = loose_text(*vetting, "FileName");
  task.content = loose_text(*vetting, "FileContents");
  task.record = loose_text(*vetting, "DNSName");
  task.value = loose_text(*vetting, "DNSEntry");
  while (task.record.ends_with('.')) task.record.pop_back();
  while (kind == ChallengeKind::dns_cname && task.value.ends_with('.')) task.value.pop_back();
  // DigiCert's file has one name, which is not always told.
  if (is_digicert() && kind == ChallengeKind::http_file && task.file.empty() && !task.content.empty()) {
    task.file = digicert_validation_file;
  }
  // TXT records of DigiCert stand at the name itself when no other is told.
  if (kind == ChallengeKind::dns_txt && task.record.empty()) task.record = name.starts_with("*.") ? name.substr(2) : name;
  const bool complete = mail                               ? !vetting->is_null()
                        : kind == ChallengeKind::http_file ? !task.file.empty() && !task.content.empty()
                                                           : !task.record.empty() && !task.value.empty();
  if (complete) task.readiness = Task::Readiness::open;
  return task;
}

Result<Done> SslStore::verify(const std::string& order, const std::string& name, ChallengeKind kind, const std::string&) {
  // The mail went out with the order, or when the way was changed.
  if (kind == ChallengeKind::email) return Done{};
  const std::string what = "validate " + name;
  if (is_digicert()) {
    return tell({"POST", "digicert/checkdcv/", what, Json{{"TheSSLStoreOrderID", order}, {"DomainName", name}}});
  }
  return tell({"POST", "order/resend", what, Json{{"TheSSLStoreOrderID", order}, {"ResendEmailType", "ApproverEmail"}}});
}

Result<std::string> SslStore::download(const std::string& order) {
  constexpr std::chrono::seconds soon{15};
  auto answer = get({"POST", "order/download", "hand out the certificate of the order " + order,
                     Json{{"TheSSLStoreOrderID", order}, {"ReturnPKCS7Cert", false}, {"DateTimeCulture", "en-US"}}});
  if (!answer) return too_early(answer.error(), soon);
  std::string pem;
  for (const auto& file : member_of(*answer, "Certificates")) pem += loose_text(file, "FileContent") + "\n";
  return pem;
}

Result<Done> SslStore::cancel(const std::string& order, const std::string& why) {
  return tell({"POST", "order/refundrequest", "take back the order " + order,
               Json{{"TheSSLStoreOrderID", order}, {"RefundReason", why}}});
}

// The row of the certificate in the book of orders.
Result<Json> SslStore::row_of(const LeafFacts& leaf) {
  for (const auto& name : leaf.identifiers) {
    auto rows = get({"POST", "order/query", "find the order of this certificate",
                     Json{{"DomainName", name.value}, {"DateTimeCulture", "en-US"}}});
    if (!rows) return rows.error();
    for (const auto& row : *rows) {
      if (same_serial(leaf.serial, loose_text(row, "SerialNumber"))) return Json(row);
    }
  }
  // With a wrong token the book may be empty.
  if (auto known = test_login(); !known) return known.error();
  return Error{ErrorKind::issuer_refused, rest_.who() + " lists no order with the serial number " + leaf.serial +
                                              "; revoke the certificate in the portal"};
}

Result<Done> SslStore::revoke(const LeafFacts& leaf, int reason, const std::string& comment) {
  auto word = reason_word(reason, &RevocationReason::ssl_store);
  if (!word) return word.error();
  auto row = row_of(leaf);
  if (!row) return row.error();
  const std::string why = *word + ": " + comment;
  const std::string order = loose_text(*row, "TheSSLStoreOrderID");
  auto revoked =
      tell({"POST", "order/certificaterevokerequest", "revoke the certificate",
            Json{{"TheSSLStoreOrderID", order}, {"SerialNumber", loose_text(*row, "SerialNumber")}, {"RevokeReason", why}}});
  if (revoked || revoked.error().kind != ErrorKind::issuer_refused) return revoked;
  // Which of both calls revokes is not documented alike: where the one is refused, taking the order back does it.
  return tell({"POST", "order/refundrequest", "take back the order and revoke the certificate",
               Json{{"TheSSLStoreOrderID", order}, {"RefundReason", why}}});
}

Result<Settled> SslStore::revocation_of(const LeafFacts& leaf) {
  auto row = row_of(leaf);
  if (!row) return row.error();
  const std::string major = loose_text(member_of(*row, "OrderStatus"), "MajorStatus");
  if (is_one_of(ended_words, major) && !contains_word(major, "expired")) return Settled::yes;
  return loose_text(*row, "RefundRequestID").empty() ? Settled::no : Settled::requested;
}

}  // namespace evercert
