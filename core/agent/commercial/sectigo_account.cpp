// The account at Sectigo Certificate Manager. Rows of its list have neither state nor date: it is read state by state.
#include <algorithm>
#include <array>

#include "agent/commercial/sectigo.h"

namespace evercert {
namespace {

constexpr std::size_t sectigo_page = 200;
// Profile, term and organization.
constexpr std::array<const char*, 6> sectigo_unknown{"-36", "-39", "-111", "-639", "-1021", "-1023"};

struct SectigoStatus {
  const char* word;
  ListedState state;
};
constexpr std::array<SectigoStatus, 10> sectigo_statuses{{{"Requested", ListedState::open},
                                                          {"Approved", ListedState::open},
                                                          {"Applied", ListedState::open},
                                                          {"SAApproved", ListedState::open},
                                                          {"Issued", ListedState::issued},
                                                          {"Expired", ListedState::expired},
                                                          {"Revoked", ListedState::revoked},
                                                          {"Rejected", ListedState::rejected},
                                                          {"Declined", ListedState::rejected},
                                                          {"Invalid", ListedState::rejected}}};

class SectigoAccount : public CommercialAccount {
 public:
  SectigoAccount(const IssuerSpec& spec, AccountWire wire) : purchase_(spec.purchase), wire_(std::move(wire)) {}

  Result<OrderPage> page(const OrderFilter& filter, const std::string& next) override;
  // The detail of an order does not show its request.
  Result<std::string> request_of(const std::string&) override { return std::string(); }
  Result<std::string> ordered_on(const std::string& order) override;
  Result<Offers> offers(bool domains) override;
  [[nodiscard]] bool says_unknown(const Error& error) const override {
    return error.problem && std::any_of(sectigo_unknown.begin(), sectigo_unknown.end(),
                                        [&](const char* code) { return error.problem->type == code; });
  }

 private:
  Result<Done> add_domains(Offers& offers);

  const Purchase purchase_;
  const AccountWire wire_;
};

// `next` is "STATUS POSITION", the status as a place in the table above.
Result<OrderPage> SectigoAccount::page(const OrderFilter& filter, const std::string& next) {
  auto [index, position] = place_in(next);
  while (index < sectigo_statuses.size() && !filter.states.contains(sectigo_statuses[index].state)) ++index;
  OrderPage page;
  if (index >= sectigo_statuses.size()) return page;
  std::string query = std::string("ssl/v1?status=") + sectigo_statuses[index].word + "&size=" + std::to_string(sectigo_page) +
                      "&position=" + std::to_string(position);
  if (!filter.group.empty()) query += "&orgId=" + form_field(filter.group);
  if (filter.names.size() == 1) query += "&commonName=" + form_field(filter.names.front());
  auto rows = wire_("GET", query, nullptr, "list our orders");
  if (!rows) return rows.error();
  if (!rows->is_array()) return Error{ErrorKind::connection, "Sectigo's list of orders is no list"};
  for (const auto& row : *rows) {
    page.orders.push_back({loose_text(row, "sslId"), loose_text(row, "commonName"), sectigo_statuses[index].state,
                           loose_text(row, "serialNumber"), filter.group, "", ""});
  }
  if (rows->size() == sectigo_page) {
    page.next = std::to_string(index) + " " + std::to_string(position + sectigo_page);
    return page;
  }
  do ++index;
  while (index < sectigo_statuses.size() && !filter.states.contains(sectigo_statuses[index].state));
  if (index < sectigo_statuses.size()) page.next = std::to_string(index) + " 0";
  return page;
}

Result<std::string> SectigoAccount::ordered_on(const std::string& order) {
  auto detail = wire_("GET", "ssl/v1/" + order + "?dateFormat=ISO_HMS", nullptr, "show the order " + order);
  if (!detail) return detail.error();
  return day_in(loose_text(*detail, "requested"));
}

Result<Done> SectigoAccount::add_domains(Offers& offers) {
  offers.domains.emplace();
  for (std::size_t page = 0; page < most_pages_of_a_list; ++page) {
    auto rows =
        wire_("GET", "domain/v1?size=" + std::to_string(sectigo_page) + "&position=" + std::to_string(page * sectigo_page),
              nullptr, "list its domains");
    if (!rows) return rows.error();
    for (const auto& row : *rows) {
      ++offers.domain_count;
      if (offers.domains->size() < remembered_domains) offers.domains->push_back(loose_text(row, "name"));
    }
    if (rows->size() < sectigo_page) break;
  }
  return Done{};
}

Result<Offers> SectigoAccount::offers(bool domains) {
  Offers offers;
  auto organizations = wire_("GET", "organization/v1", nullptr, "list its organizations");
  if (!organizations) return organizations.error();
  offers.organizations.emplace();
  for (const auto& one : *organizations) {
    offers.organizations->push_back({loose_text(one, "id"), loose_text(one, "name"), {}, {}});
    for (const auto& department : member_of(one, "departments")) {
      offers.organizations->push_back({loose_text(department, "id"), loose_text(department, "name"), {}, {}});
    }
  }
  // With an organization that does not exist the list of profiles is refused: that is told by the organizations.
  const bool known = std::any_of(offers.organizations->begin(), offers.organizations->end(),
                                 [&](const Offer& one) { return one.id == purchase_.organization; });
  auto profiles = wire_("GET", std::string("ssl/v1/types") + (known ? "?organizationId=" + purchase_.organization : ""),
                        nullptr, "list its profiles");
  if (!profiles) return profiles.error();
  offers.products.emplace();
  for (const auto& one : *profiles) {
    Offer profile{loose_text(one, "id"), loose_text(one, "name"), {}, {}};
    for (const auto& term : member_of(one, "terms")) {
      if (term.is_number_unsigned()) profile.terms.push_back(term.get<unsigned>());
    }
    offers.products->push_back(std::move(profile));
  }
  if (!domains) return offers;
  if (auto added = add_domains(offers); !added) return added.error();
  return offers;
}

}  // namespace

std::unique_ptr<CommercialAccount> Sectigo::make_account() {
  return std::make_unique<SectigoAccount>(
      spec_, [this](const std::string& method, const std::string& path, const Json& body, const std::string& what) {
        return get({method, path, what, body});
      });
}

}  // namespace evercert
