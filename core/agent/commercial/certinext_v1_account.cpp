// The account at CERTInext by its first interface: GetOrderReport and GetProductDetails. Layouts of its lists of groups,
// organizations and domains are not published: they check nothing here (the second interface has them).
#include <algorithm>
#include <array>

#include "agent/commercial/certinext_v1.h"

namespace evercert {
namespace {

constexpr const char* v1_rows = "500";
constexpr std::array<const char*, 3> unknown_ids{"EMS-1073", "EMS-1162", "EMS-1269"};

class CertinextV1Account : public CommercialAccount {
 public:
  CertinextV1Account(const IssuerSpec& spec, AccountWire wire) : purchase_(spec.purchase), wire_(std::move(wire)) {}

  Result<OrderPage> page(const OrderFilter& filter, const std::string& next) override;
  Result<std::string> request_of(const std::string& order) override;
  Result<std::string> ordered_on(const std::string&) override { return std::string(); }
  Result<Offers> offers(bool domains) override;
  [[nodiscard]] bool says_unknown(const Error& error) const override {
    return std::any_of(unknown_ids.begin(), unknown_ids.end(),
                       [&](const char* code) { return error.message.find(code) != std::string::npos; });
  }

 private:
  const Purchase purchase_;
  const AccountWire wire_;
};

ListedState state_of_v1(const Json& row) {
  const auto order = whole_number(row, "orderStatusId");
  const auto certificate = whole_number(row, "certificateStatusId");
  if (certificate == 22) return ListedState::revoked;
  if (certificate == 12) return ListedState::expired;
  constexpr std::array<long long, 7> dead{5, 8, 13, 14, 18, 19, 21};
  if (order == 4 || order == 5 || std::find(dead.begin(), dead.end(), certificate) != dead.end()) return ListedState::rejected;
  if (certificate != 9 && certificate != 20 && loose_text(row, "certificateSerialNumber").empty()) return ListedState::open;
  return ListedState::issued;
}

Result<OrderPage> CertinextV1Account::page(const OrderFilter& filter, const std::string& next) {
  const std::string number = next.empty() ? "1" : next;
  Json criteria{{"pageSize", v1_rows}, {"pageNumber", number}};
  if (!filter.group.empty()) criteria["groupNumber"] = filter.group;
  if (!filter.since.empty()) criteria["orderDateFrom"] = filter.since;
  if (!filter.until.empty()) criteria["orderDateTill"] = filter.until;
  if (filter.names.size() == 1) criteria["domainName"] = filter.names.front();
  auto answer = wire_("POST", "GetOrderReport", {{"searchCriteria", std::move(criteria)}}, "list our orders");
  if (!answer) return answer.error();
  const Json& details = member_of(*answer, "orderDetails");
  OrderPage page;
  page.total = static_cast<std::size_t>(whole_number(details, "totalNoOfResults"));
  const Json& rows = member_of(details, "ordersArray");
  for (const auto& row : rows) {
    // Drafts have no number yet.
    const std::string reference = loose_text(row, "orderNumber");
    if (reference.empty()) continue;
    page.orders.push_back({reference, loose_text(row, "domainName"), state_of_v1(row),
                           loose_text(row, "certificateSerialNumber"), loose_text(row, "groupNumber"),
                           day_in(loose_text(row, "orderDate")), day_in(loose_text(row, "certificateExpiryDate"))});
  }
  const long long at = page_in(number);
  if (!rows.empty() && at < whole_number(details, "noOfPages")) page.next = std::to_string(at + 1);
  return page;
}

Result<std::string> CertinextV1Account::request_of(const std::string& order) {
  auto answer = wire_("POST", "TrackOrder", {{"orderDetails", {{"orderNumber", order}}}}, "show the order " + order);
  if (!answer) return answer.error();
  return loose_text(member_of(*answer, "orderDetails"), "csr");
}

Result<Offers> CertinextV1Account::offers(bool) {
  // Some accounts list nothing unless a group is named.
  Json wanted = Json::object();
  if (!purchase_.group.empty()) wanted["groupNumber"] = purchase_.group;
  auto answer = wire_("POST", "GetProductDetails", {{"productDetails", std::move(wanted)}}, "list its products");
  if (!answer) return answer.error();
  Offers offers;
  std::vector<Offer> products;
  for (const auto& category : member_of(*answer, "productDetails")) {
    if (offers.currency.empty()) offers.currency = loose_text(category, "currencyType");
    for (const auto& one : member_of(category, "products")) {
      products.push_back(
          {loose_text(one, "productCode"), loose_text(one, "productName"), {}, cents_of(loose_text(one, "price"))});
    }
  }
  // An empty catalogue says that a group is to be named, not that there are no products.
  if (!products.empty()) offers.products = std::move(products);
  return offers;
}

}  // namespace

std::unique_ptr<CommercialAccount> CertinextV1::make_account() {
  return std::make_unique<CertinextV1Account>(
      spec_, [this](const std::string&, const std::string& operation, const Json& body, const std::string& what) {
        return call(operation.c_str(), body, what);
      });
}

}  // namespace evercert
