// The account at DigiCert CertCentral: orders by status and offset, products with the years they may be bought for.
#include <algorithm>
#include <array>

#include "agent/commercial/digicert.h"

namespace evercert {
namespace {

constexpr std::size_t digicert_page = 100;

struct DigiCertStatus {
  const char* word;
  ListedState state;
};
constexpr std::array<DigiCertStatus, 10> digicert_statuses{{{"pending", ListedState::open},
                                                            {"processing", ListedState::open},
                                                            {"needs_approval", ListedState::open},
                                                            {"waiting_pickup", ListedState::issued},
                                                            {"issued", ListedState::issued},
                                                            {"reissue_pending", ListedState::issued},
                                                            {"expired", ListedState::expired},
                                                            {"revoked", ListedState::revoked},
                                                            {"rejected", ListedState::rejected},
                                                            {"canceled", ListedState::rejected}}};

class DigiCertAccount : public CommercialAccount {
 public:
  DigiCertAccount(const IssuerSpec& spec, AccountWire wire) : purchase_(spec.purchase), wire_(std::move(wire)) {}

  Result<OrderPage> page(const OrderFilter& filter, const std::string& next) override;
  Result<std::string> request_of(const std::string& order) override;
  Result<std::string> ordered_on(const std::string& order) override;
  Result<Offers> offers(bool domains) override;
  [[nodiscard]] bool says_unknown(const Error& error) const override {
    const std::string said = error.problem ? error.problem->detail : "";
    return contains_word(said, "product") || contains_word(said, "organization") || contains_word(said, "container") ||
           contains_word(said, "validity");
  }

 private:
  Result<Json> detail_of(const std::string& order) {
    return wire_("GET", "order/certificate/" + order, nullptr, "show the order " + order);
  }
  Result<Done> add_terms(Offers& offers);
  // Calls `row` for each element of a list that is read in pages.
  Result<Done> each(const std::string& list, const std::string& member, const std::function<void(const Json&)>& row);

  const Purchase purchase_;
  const AccountWire wire_;
};

// `next` is "STATUS OFFSET", the status as a place in the table above.
Result<OrderPage> DigiCertAccount::page(const OrderFilter& filter, const std::string& next) {
  auto [index, offset] = place_in(next);
  while (index < digicert_statuses.size() && !filter.states.contains(digicert_statuses[index].state)) ++index;
  OrderPage page;
  if (index >= digicert_statuses.size()) return page;
  std::string query = "order/certificate?limit=" + std::to_string(digicert_page) + "&offset=" + std::to_string(offset) +
                      "&sort=-order_id&filters[status]=" + digicert_statuses[index].word;
  if (filter.names.size() == 1) query += "&filters[common_name]=" + form_field(filter.names.front());
  auto answer = wire_("GET", query, nullptr, "list our orders");
  if (!answer) return answer.error();
  const Json& rows = member_of(*answer, "orders");
  for (const auto& row : rows) {
    const Json& certificate = member_of(row, "certificate");
    const std::string serial = loose_text(certificate, "serial_number");
    page.orders.push_back({loose_text(row, "id"), loose_text(certificate, "common_name"), digicert_statuses[index].state,
                           serial.empty() ? loose_text(certificate, "id") : serial,
                           loose_text(member_of(row, "container"), "id"), day_in(loose_text(row, "date_created")),
                           day_in(loose_text(certificate, "valid_till"))});
  }
  const auto total = static_cast<std::size_t>(whole_number(member_of(*answer, "page"), "total"));
  // Of one state only: with several it would be less than what is read.
  const auto wanted = std::count_if(digicert_statuses.begin(), digicert_statuses.end(),
                                    [&](const DigiCertStatus& one) { return filter.states.contains(one.state); });
  if (wanted == 1) page.total = total;
  if (!rows.empty() && offset + rows.size() < total) {
    page.next = std::to_string(index) + " " + std::to_string(offset + rows.size());
    return page;
  }
  do ++index;
  while (index < digicert_statuses.size() && !filter.states.contains(digicert_statuses[index].state));
  if (index < digicert_statuses.size()) page.next = std::to_string(index) + " 0";
  return page;
}

Result<std::string> DigiCertAccount::request_of(const std::string& order) {
  auto detail = detail_of(order);
  if (!detail) return detail.error();
  return loose_text(member_of(*detail, "certificate"), "csr");
}

Result<std::string> DigiCertAccount::ordered_on(const std::string& order) {
  auto detail = detail_of(order);
  if (!detail) return detail.error();
  return day_in(loose_text(*detail, "date_created"));
}

Result<Done> DigiCertAccount::each(const std::string& list, const std::string& member,
                                   const std::function<void(const Json&)>& row) {
  std::size_t offset = 0;
  for (std::size_t page = 0; page < most_pages_of_a_list; ++page) {
    auto answer = wire_("GET", list + "?limit=" + std::to_string(digicert_page) + "&offset=" + std::to_string(offset), nullptr,
                        "list its " + member);
    if (!answer) return answer.error();
    const Json& rows = member_of(*answer, member);
    for (const auto& one : rows) row(one);
    offset += rows.size();
    const auto total = static_cast<std::size_t>(whole_number(member_of(*answer, "page"), "total"));
    if (rows.empty() || offset >= total) break;
  }
  return Done{};
}

Result<Done> DigiCertAccount::add_terms(Offers& offers) {
  const auto bought = std::find_if(offers.products->begin(), offers.products->end(),
                                   [&](const Offer& one) { return one.id == purchase_.product; });
  if (bought == offers.products->end()) return Done{};
  auto answer = wire_("GET", "product/" + purchase_.product, nullptr, "show the product " + purchase_.product);
  if (!answer) return answer.error();
  for (const auto& years : member_of(*answer, "allowed_validity_years")) {
    if (years.is_number_unsigned()) bought->terms.push_back(years.get<unsigned>());
  }
  return Done{};
}

Result<Offers> DigiCertAccount::offers(bool domains) {
  Offers offers;
  auto products = wire_("GET", "product", nullptr, "list its products");
  if (!products) return products.error();
  offers.products.emplace();
  for (const auto& one : member_of(*products, "products")) {
    offers.products->push_back({loose_text(one, "name_id"), loose_text(one, "name"), {}, {}});
  }
  if (auto added = add_terms(offers); !added) return added.error();
  offers.organizations.emplace();
  auto organizations = each("organization", "organizations", [&](const Json& one) {
    offers.organizations->push_back({loose_text(one, "id"), loose_text(one, "name"), {}, {}});
  });
  if (!organizations) return organizations.error();
  if (!domains) return offers;
  offers.domains.emplace();
  auto listed = each("domain", "domains", [&](const Json& one) {
    ++offers.domain_count;
    if (offers.domains->size() < remembered_domains) offers.domains->push_back(loose_text(one, "name"));
  });
  if (!listed) return listed.error();
  auto containers = wire_("GET", "container", nullptr, "list its divisions");
  if (!containers) return containers.error();
  offers.groups.emplace();
  for (const auto& one : member_of(*containers, "containers")) {
    offers.groups->push_back({loose_text(one, "id"), loose_text(one, "name"), {}, {}});
  }
  return offers;
}

}  // namespace

std::unique_ptr<CommercialAccount> DigiCert::make_account() {
  return std::make_unique<DigiCertAccount>(
      spec_, [this](const std::string& method, const std::string& path, const Json& body, const std::string& what) {
        return get({method, path, what, body});
      });
}

}  // namespace evercert
