// The account at a commercial CA beside the orders we place: pages of the orders that exist there, and lists of what can be
// ordered. CommercialAccount is what differs, one *_account.cpp for each CA; IssuerAccount is what the agent sees of it.
// Rule: everything here only reads; each call is one request (offers: a few) and none waits.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/commercial/offers.h"
#include "agent/issuer/issuer.h"
#include "serving/base/json.h"

namespace evercert {

enum class ListedState { open, issued, expired, revoked, rejected };
const char* to_string(ListedState state);

struct ListedOrder {
  std::string reference;
  std::string name;  // the first that it is for
  ListedState state = ListedState::open;
  std::string version;  // changes when another certificate takes its place; empty: the list does not tell
  std::string group;    // empty: the list does not tell
  std::string ordered;  // 2026-11-22; empty: the list does not tell
  std::string ends;     // the day on which its certificate does; empty: the list does not tell
};

struct OrderFilter {
  std::set<ListedState> states{ListedState::open, ListedState::issued};
  std::vector<std::string> names;  // any of them; none: all
  std::string group;
  std::string since;  // 2026-11-22, inclusive, as until
  std::string until;

  // By what the list tells; a group or date that it does not tell fits.
  [[nodiscard]] bool fits(const ListedOrder& order) const;
};

struct OrderPage {
  std::vector<ListedOrder> orders;
  std::string next;       // where the next page begins; empty: this was the last
  std::size_t total = 0;  // of all pages with this state; 0: not told
};

class CommercialAccount {
 public:
  virtual ~CommercialAccount() = default;
  // `next`: of the page before, empty for the first. What the CA cannot filter may be among them.
  virtual Result<OrderPage> page(const OrderFilter& filter, const std::string& next) = 0;
  // Whether orders belong to groups there, so that a filter may name one.
  [[nodiscard]] virtual bool has_groups() const { return true; }
  // The request of an order that is open, PEM; empty where the CA does not show it.
  virtual Result<std::string> request_of(const std::string& order) = 0;
  // The day it was ordered, for lists that do not tell; empty: not told there either.
  virtual Result<std::string> ordered_on(const std::string& order) = 0;
  // `domains`: those too, which may take many requests.
  virtual Result<Offers> offers(bool domains) = 0;
  // Whether a refusal says that a product, term, organization or group does not exist.
  [[nodiscard]] virtual bool says_unknown(const Error& error) const = 0;
};

// How a CA's account asks: with the credentials and the errors of its orders. A failure is an Error as theirs.
using AccountWire =
    std::function<Result<Json>(const std::string& method, const std::string& path, const Json& body, const std::string& what)>;

class IssuerAccount {
 public:
  virtual ~IssuerAccount() = default;
  virtual Result<OrderPage> page(const OrderFilter& filter, const std::string& next) = 0;
  [[nodiscard]] virtual bool has_groups() const = 0;
  virtual Result<std::string> request_of(const std::string& order) = 0;
  // There is an open order for this name that cannot be tracked, since nobody knows its key: while it is open nothing is
  // ordered for that name.
  virtual void leave_alone(const std::string& order, const std::string& name) = 0;
  virtual Result<std::string> ordered_on(const std::string& order) = 0;
  // Leaf and chain of an issued order, sorted and linked, whatever its key.
  virtual Result<IssuedCertificate> certificate_of(const std::string& order) = 0;
  // An order that exists at the CA as the order machine keeps one it has placed.
  virtual Result<IssuerOrder> as_placed(const std::string& order, const Wanted& wanted) = 0;
  // Asks the CA now what it offers, and keeps the answer. `domains`: those too.
  virtual Result<Offers> sync(bool domains) = 0;
  // Asks when it is time to: weekly, and daily where the CA tells the balance; sooner for what it was asked to cancel or to
  // revoke. To be called now and then, and at the time that it names.
  virtual std::optional<std::chrono::system_clock::time_point> tend() = 0;
  // What the CA was asked for and has not done yet.
  struct Awaited {
    std::string what;  // "cancellation", "revocation"
    std::string certificate;
    std::string order;  // of a cancellation
    std::chrono::system_clock::time_point since;
  };
  [[nodiscard]] virtual std::vector<Awaited> awaited() = 0;
  // What was last seen of it, for the status page: never waits for the CA. nullopt: nothing yet.
  struct Seen {
    std::string offers;
    std::optional<Cents> balance;
    std::string currency;
    bool low = false;
    std::chrono::system_clock::time_point at;
  };
  [[nodiscard]] virtual std::optional<Seen> seen() = 0;
};

// For *_account.cpp: how many pages of a list are read and how many domains are kept; a whole number, 0 when it is none; the
// date in front of a time, empty when there is none.
inline constexpr std::size_t most_pages_of_a_list = 250;
inline constexpr std::size_t remembered_domains = 1000;
long long whole_number(const Json& object, std::string_view member);
// Where a reading of pages goes on, as an OrderPage said and a file of ours kept it. What is no such word is the beginning.
constexpr std::uint64_t farthest_page = 1'000'000'000;
long long page_in(const std::string& next);                             // "7"
std::pair<std::size_t, std::size_t> place_in(const std::string& next);  // "STATUS POSITION"
std::string day_in(const std::string& time);

}  // namespace evercert
