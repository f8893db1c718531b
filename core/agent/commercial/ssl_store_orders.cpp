// What The SSL Store is sent with orders and reissues, and how they are found again.
#include <algorithm>
#include <array>
#include <string_view>

#include "agent/commercial/ssl_store.h"

namespace evercert {
namespace {

constexpr std::array<const char*, 10> address_members{"AddressLine1", "AddressLine2", "AddressLine3", "City", "Region",
                                                      "PostalCode",   "Country",      "Phone",        "Fax",  "LocalityName"};
constexpr std::array<const char*, 8> contact_members{"OrganizationName", "AddressLine1", "AddressLine2", "City",
                                                     "Region",           "PostalCode",   "Country",      "Fax"};
// The CA takes twenty characters.
constexpr std::size_t unique_value_length = 20;

template <std::size_t count>
bool holds(const std::array<const char*, count>& members, std::string_view member) {
  return std::find(members.begin(), members.end(), member) != members.end();
}

std::string without_line_ends(std::string text) {
  std::erase(text, '\n');
  return text;
}

}  // namespace

Json SslStore::request_body(const Wanted& wanted, const char* approvers) const {
  const std::string pem = pem_of_request(wanted.request);
  const ChallengeKind kind = spec_.challenge;
  std::string words;
  for (std::size_t i = 0; i < wanted.identifiers.size(); ++i) {
    words += (i == 0 ? "" : ",") + (kind == ChallengeKind::email ? spec_.purchase.email : std::string(method_word(kind)));
  }
  Json body{{"CSR", is_digicert() ? form_field(pem) : without_line_ends(pem)},
            {"WebServerType", "Other"},
            {approvers, words},
            {"FileAuthDVIndicator", kind == ChallengeKind::http_file},
            {"HTTPSFileAuthDVIndicator", false},
            {"CNAMEAuthDVIndicator", kind == ChallengeKind::dns_cname && !is_digicert()},
            {"SignatureHashAlgorithm", is_digicert() ? "sha256" : "PREFER_SHA2"},
            {"DateTimeCulture", "en-US"}};
  if (!is_digicert()) body["CSRUniqueValue"] = wanted.reference.substr(0, unique_value_length);
  return body;
}

Json SslStore::contact(const Person& person) const {
  const auto blank = person.name.rfind(' ');
  Json contact{{"FirstName", person.name.substr(0, blank)},
               {"LastName", blank == std::string::npos ? person.name : person.name.substr(blank + 1)},
               {"Email", person.email},
               {"Phone", person.phone.empty() ? spec_.purchase.requester.phone : person.phone}};
  for (const auto& [name, value] : spec_.purchase.custom_fields) {
    if (holds(contact_members, name)) contact[name] = value;
  }
  if (!person.title.empty()) contact["Title"] = person.title;
  return contact;
}

Json SslStore::organization() const {
  Json organization = Json::object();
  for (const auto& [name, value] : spec_.purchase.custom_fields) {
    (holds(address_members, name) ? organization["OrganizationAddress"] : organization)[name] = value;
  }
  return organization;
}

Result<std::string> SslStore::place(const Wanted& wanted) {
  const Purchase& purchase = spec_.purchase;
  Json body = request_body(wanted, "ApproverEmail");
  body["CustomOrderID"] = mark_of(wanted);
  body["ProductCode"] = purchase.product;
  body["ValidityPeriod"] = purchase.term;
  body["ServerCount"] = 1;
  body["DomainName"] = wanted.identifiers.front().value;
  // For products of one name only, and not said where it is not wanted.
  if (purchase.www && wanted.identifiers.size() == 1) body["AutoWWW"] = true;
  unsigned wildcards = 0;
  for (std::size_t i = 1; i < wanted.identifiers.size(); ++i) {
    body["DNSNames"].push_back(wanted.identifiers[i].value);
    if (wanted.identifiers[i].value.starts_with("*.")) ++wildcards;
  }
  if (wanted.identifiers.size() > 1) {
    body["ReserveSANCount"] = wanted.identifiers.size() - 1 - wildcards;
    body["WildcardReserveSANCount"] = wildcards;
  }
  body["AdminContact"] = contact(purchase.requester);
  body["TechnicalContact"] =
      contact(purchase.technical_contact.email.empty() ? purchase.requester : purchase.technical_contact);
  if (!purchase.organization.empty()) body["TSSOrganizationId"] = loose_number(purchase.organization);
  if (Json about = organization(); about.contains("OrganizationName")) body["OrganizationInfo"] = std::move(about);
  if (!purchase.comments.empty()) body["SpecialInstructions"] = purchase.comments;
  RestRequest order{"POST", "order/neworder", "accept an order for " + wanted.identifiers.front().value, std::move(body)};
  order.effect = RestRequest::Effect::places;
  auto answer = get(order);
  if (!answer) return answer.error();
  std::string number = loose_text(*answer, "TheSSLStoreOrderID");
  if (number.empty()) return nameless(order.what);
  return number;
}

Result<std::optional<std::string>> SslStore::find(const Wanted& wanted, const std::vector<std::string>& known) {
  const std::string mark = mark_of(wanted);
  auto rows = get({"POST", "order/query", "list our orders", Json{{"CustomOrderID", mark}, {"DateTimeCulture", "en-US"}}});
  if (!rows) return rows.error();
  for (const auto& row : *rows) {
    std::string order = loose_text(row, "TheSSLStoreOrderID");
    if (loose_text(row, "CustomOrderID") != mark || order.empty() || is_among(known, order)) continue;
    return std::optional<std::string>(std::move(order));
  }
  // A list that has none proves nothing before the token was taken; this call looks by our mark, too.
  const RestRequest request{"POST", "order/status", "look for our order",
                            Json{{"CustomOrderID", mark}, {"DateTimeCulture", "en-US"}}};
  auto answer = ask(request);
  if (!answer) return answer.error();
  if (!answer->good() || (!succeeded(*answer) && cause_of(refusal_in(*answer)) == RefusalCause::login)) {
    return failed(*answer, request.what);
  }
  std::string order = loose_text(answer->json, "TheSSLStoreOrderID");
  const bool ours = succeeded(*answer) && loose_text(answer->json, "CustomOrderID") == mark;
  if (!ours || order.empty() || is_among(known, order)) return std::optional<std::string>();
  return std::optional<std::string>(std::move(order));
}

Result<std::string> SslStore::reissue(const Subscription& subscription, const Wanted& wanted) {
  Json body = request_body(wanted, "ApproverEmails");
  body["TheSSLStoreOrderID"] = subscription.order;
  // Must be the address of the administrative contact that the order was placed with.
  body["ReissueEmail"] = spec_.purchase.requester.email;
  body["isRenewalOrder"] = false;
  body["PreferEnrollmentLink"] = false;
  body["SpecialInstructions"] = mark_of(wanted);
  std::vector<std::string> names;
  for (const auto& identifier : wanted.identifiers) names.push_back(identifier.value);
  for (std::size_t i = 1; i < names.size(); ++i) {
    body["DNSNames"].push_back(names[i]);
    if (!is_among(subscription.names, names[i])) body["AddSAN"].push_back({{"OldValue", ""}, {"NewValue", names[i]}});
  }
  for (const auto& before : subscription.names) {
    if (!is_among(names, before)) body["DeleteSAN"].push_back({{"OldValue", before}, {"NewValue", ""}});
  }
  RestRequest request{"POST", "order/reissue", "reissue the order " + subscription.order, std::move(body)};
  request.effect = RestRequest::Effect::places;
  auto answer = get(request);
  if (!answer) return answer.error();
  return subscription.order;
}

Result<std::optional<std::string>> SslStore::find_reissue(const Subscription& subscription, const Wanted&,
                                                          const std::vector<std::string>&) {
  auto order = status_of(subscription.order, "show the order " + subscription.order);
  if (!order) return order.error();
  const bool pending = loose_text(member_of(*order, "OrderStatus"), "MinorStatus") == ssl_store_pending_reissue;
  const std::string serial = loose_text(*order, "SerialNumber");
  const bool other = !serial.empty() && !same_serial(subscription.serial, serial);
  return pending || other ? std::optional<std::string>(subscription.order) : std::nullopt;
}

}  // namespace evercert
