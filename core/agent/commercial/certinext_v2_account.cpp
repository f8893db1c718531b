// The account at CERTInext by its second interface: reports, catalogue, groups with their organizations and the balance.
#include <algorithm>
#include <array>

#include "agent/commercial/certinext_v2.h"

namespace evercert {
namespace {

constexpr const char* v2_account_prefix = "api/certinext/v2/";
constexpr const char* rows_of_report = "100";
constexpr std::size_t rows_of_domains = 200;
constexpr std::array<const char*, 3> unknown_codes{"EMS-1073", "EMS-1162", "EMS-1269"};

class CertinextV2Account : public CommercialAccount {
 public:
  CertinextV2Account(const IssuerSpec& spec, AccountWire wire) : purchase_(spec.purchase), wire_(std::move(wire)) {}

  Result<OrderPage> page(const OrderFilter& filter, const std::string& next) override;
  // This interface does not show the request of an order.
  Result<std::string> request_of(const std::string&) override { return std::string(); }
  Result<std::string> ordered_on(const std::string&) override { return std::string(); }
  Result<Offers> offers(bool domains) override;
  [[nodiscard]] bool says_unknown(const Error& error) const override {
    return std::any_of(unknown_codes.begin(), unknown_codes.end(),
                       [&](const char* code) { return error.message.find(code) != std::string::npos; });
  }

 private:
  Result<Json> get(const std::string& path, const std::string& what) {
    return wire_("GET", v2_account_prefix + path, nullptr, what);
  }
  Result<Done> add_groups(Offers& offers);
  Result<Done> add_domains(Offers& offers);

  const Purchase purchase_;
  const AccountWire wire_;
};

// The report shows words for people; what is none of those known is settled by whether there is a certificate.
ListedState state_of_v2(const Json& row) {
  const std::string certificate = loose_text(row, "certificateStatus");
  const std::string order = loose_text(row, "orderStatus");
  if (contains_word(certificate, "revoked")) return ListedState::revoked;
  if (contains_word(certificate, "expired")) return ListedState::expired;
  if (contains_word(certificate, "rejected") || contains_word(order, "rejected") || contains_word(order, "cancelled")) {
    return ListedState::rejected;
  }
  if (loose_text(row, "certificateSerialNumber").empty()) return ListedState::open;
  return ListedState::issued;
}

Result<OrderPage> CertinextV2Account::page(const OrderFilter& filter, const std::string& next) {
  const std::string number = next.empty() ? "1" : next;
  std::string query = "reports/orders?page=" + number + "&size=" + rows_of_report;
  if (!filter.group.empty()) query += "&groupNumber=" + form_field(filter.group);
  if (!filter.since.empty()) query += "&from=" + filter.since;
  if (!filter.until.empty()) query += "&to=" + filter.until;
  auto answer = get(query, "list our orders");
  if (!answer) return answer.error();
  OrderPage page;
  page.total = static_cast<std::size_t>(whole_number(*answer, "totalElements"));
  for (const auto& row : member_of(*answer, "content")) {
    const std::string reference = loose_text(row, "orderNumber");
    if (reference.empty()) continue;
    page.orders.push_back({reference, loose_text(row, "domainName"), state_of_v2(row),
                           loose_text(row, "certificateSerialNumber"), loose_text(row, "groupNumber"),
                           day_in(loose_text(row, "orderDate")), day_in(loose_text(row, "certificateExpiryDate"))});
  }
  // A page past the end repeats the last one: only the number of pages ends the reading.
  const long long at = page_in(number);
  if (at < whole_number(*answer, "totalPages")) page.next = std::to_string(at + 1);
  return page;
}

Result<Done> CertinextV2Account::add_groups(Offers& offers) {
  auto answer = get("groups", "list its groups");
  if (!answer) return answer.error();
  std::vector<Offer> groups;
  std::vector<Offer> organizations;
  for (const auto& group : member_of(*answer, "groups")) {
    const std::string number = loose_text(group, "groupNumber");
    const bool used = purchase_.group.empty() ? loose_text(group, "isDefaultGroup") == "1" : number == purchase_.group;
    if (used || !offers.balance) offers.balance = cents_of(loose_text(group, "accountBalance"));
    groups.push_back({number, loose_text(group, "groupName"), {}, {}});
    for (const auto& one : member_of(group, "organizationDetails")) {
      const std::string id = loose_text(one, "organizationNumber");
      const bool known =
          std::any_of(organizations.begin(), organizations.end(), [&](const Offer& seen) { return seen.id == id; });
      if (!known) organizations.push_back({id, loose_text(one, "organizationName"), {}, {}});
    }
  }
  if (!groups.empty()) offers.groups = std::move(groups);
  if (!organizations.empty()) offers.organizations = std::move(organizations);
  return Done{};
}

Result<Done> CertinextV2Account::add_domains(Offers& offers) {
  offers.domains.emplace();
  for (std::size_t page = 0; page < most_pages_of_a_list; ++page) {
    auto answer = get("domains?offset=" + std::to_string(page * rows_of_domains) + "&limit=" + std::to_string(rows_of_domains),
                      "list its domains");
    if (!answer) return answer.error();
    const Json& rows = answer->is_array() ? *answer : member_of(*answer, "domains");
    for (const auto& row : rows) {
      ++offers.domain_count;
      if (offers.domains->size() < remembered_domains) offers.domains->push_back(loose_text(row, "domainName"));
    }
    if (rows.size() < rows_of_domains) break;
  }
  return Done{};
}

Result<Offers> CertinextV2Account::offers(bool domains) {
  const std::string group = purchase_.group.empty() ? "" : "?groupNumber=" + form_field(purchase_.group);
  auto catalogue = get("catalog/products" + group, "list its products");
  if (!catalogue) return catalogue.error();
  Offers offers;
  std::vector<Offer> products;
  for (const auto& category : *catalogue) {
    if (offers.currency.empty()) offers.currency = loose_text(category, "currencyType");
    for (const auto& one : member_of(category, "products")) {
      products.push_back(
          {loose_text(one, "productCode"), loose_text(one, "productName"), {}, cents_of(loose_text(one, "price"))});
    }
  }
  if (!products.empty()) offers.products = std::move(products);
  if (auto added = add_groups(offers); !added) return added.error();
  if (!domains) return offers;
  if (auto added = add_domains(offers); !added) return added.error();
  return offers;
}

}  // namespace

std::unique_ptr<CommercialAccount> CertinextV2::make_account() {
  return std::make_unique<CertinextV2Account>(
      spec_, [this](const std::string& method, const std::string& path, const Json& body, const std::string& what) {
        return get({method, path, what, body});
      });
}

}  // namespace evercert
