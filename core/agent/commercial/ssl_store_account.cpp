// The account at The SSL Store: its book of orders, products with the months they are sold for, organizations for DigiCert's
// products, and the balance.
#include <algorithm>
#include <array>

#include "agent/commercial/ssl_store.h"

namespace evercert {
namespace {

constexpr std::size_t ssl_store_page = 100;

class SslStoreAccount : public CommercialAccount {
 public:
  SslStoreAccount(const IssuerSpec& spec, AccountWire wire) : purchase_(spec.purchase), wire_(std::move(wire)) {}

  Result<OrderPage> page(const OrderFilter& filter, const std::string& next) override;
  [[nodiscard]] bool has_groups() const override { return false; }
  // An order does not show its request.
  Result<std::string> request_of(const std::string&) override { return std::string(); }
  Result<std::string> ordered_on(const std::string&) override { return std::string(); }
  Result<Offers> offers(bool domains) override;
  // Its numbers for refusals are not published: lists are compared before an order is sent, and no refusal is explained.
  [[nodiscard]] bool says_unknown(const Error&) const override { return false; }

 private:
  const Purchase purchase_;
  const AccountWire wire_;
};

// "11/22/2026 5:30:00 AM" is 2026-11-22; years before 1901 mean none.
std::string american_day(const std::string& text) {
  std::array<std::string, 3> parts;
  std::size_t part = 0;
  for (const char c : text.substr(0, text.find(' '))) {
    if (c == '/' && ++part == parts.size()) return "";
    if (c == '/') continue;
    if (c < '0' || c > '9') return "";
    parts[part] += c;
  }
  const auto two = [](const std::string& digits) { return digits.size() == 1 ? "0" + digits : digits; };
  if (parts[2].size() != 4 || parts[2] <= "1900" || parts[0].empty() || parts[1].empty()) return "";
  return parts[2] + "-" + two(parts[0]) + "-" + two(parts[1]);
}

ListedState state_in_store(const Json& row) {
  const std::string major = loose_text(member_of(row, "OrderStatus"), "MajorStatus");
  if (major == "Initial" || major == "Pending") return ListedState::open;
  if (contains_word(major, "expired")) return ListedState::expired;
  if (contains_word(major, "revoked")) return ListedState::revoked;
  if (contains_word(major, "cancelled") || contains_word(major, "rejected")) return ListedState::rejected;
  return ListedState::issued;
}

Result<OrderPage> SslStoreAccount::page(const OrderFilter& filter, const std::string& next) {
  const long long number = page_in(next);
  Json body{{"PageNumber", number}, {"PageSize", ssl_store_page}, {"DateTimeCulture", "en-US"}};
  if (filter.names.size() == 1) body["DomainName"] = filter.names.front();
  if (next.empty()) {
    // The list takes a wrong token, and may be empty then; this call does not, whatever the order.
    auto known = wire_("POST", "order/status", Json{{"TheSSLStoreOrderID", "0"}}, "take our credentials");
    if (!known && known.error().kind != ErrorKind::issuer_refused) return known.error();
  }
  auto rows = wire_("POST", "order/query", body, "list our orders");
  if (!rows) return rows.error();
  OrderPage page;
  for (const auto& row : *rows) {
    const std::string reference = loose_text(row, "TheSSLStoreOrderID");
    if (reference.empty()) continue;
    page.orders.push_back({reference, loose_text(row, "CommonName"), state_in_store(row), loose_text(row, "SerialNumber"), "",
                           american_day(loose_text(row, "PurchaseDate")), american_day(loose_text(row, "CertificateEndDate"))});
  }
  // The last page is the one that is not full.
  if (rows->size() == ssl_store_page) page.next = std::to_string(number + 1);
  return page;
}

Result<Offers> SslStoreAccount::offers(bool) {
  auto products = wire_("POST", "product/query", Json{{"ProductType", 0}}, "list its products");
  if (!products) return products.error();
  Offers offers;
  offers.products.emplace();
  for (const auto& one : *products) {
    Offer product{loose_text(one, "ProductCode"), loose_text(one, "ProductName"), {}, {}};
    for (const auto& price : member_of(one, "PricingInfo")) {
      const auto months = static_cast<unsigned>(whole_number(price, "NumberOfMonths"));
      product.terms.push_back(months);
      if (months == purchase_.term) product.price = cents_of(loose_text(price, "Price"));
    }
    offers.products->push_back(std::move(product));
  }
  if (purchase_.product.starts_with("digi")) {
    auto organizations = wire_("POST", "digicert/organizationlist", Json::object(), "list its organizations");
    if (!organizations) return organizations.error();
    offers.organizations.emplace();
    for (const auto& one : member_of(*organizations, "OrganizationList")) {
      offers.organizations->push_back({loose_text(one, "TSSOrganizationId"), loose_text(one, "Name"), {}, {}});
    }
  }
  auto account = wire_("POST", "user/accountdetail", Json::object(), "tell the balance");
  if (!account) return account.error();
  offers.balance = cents_of(loose_text(*account, "AccountBalance"));
  return offers;
}

}  // namespace

std::unique_ptr<CommercialAccount> SslStore::make_account() {
  return std::make_unique<SslStoreAccount>(
      spec_, [this](const std::string& method, const std::string& path, const Json& body, const std::string& what) {
        return get({method, path, what, body});
      });
}

}  // namespace evercert
