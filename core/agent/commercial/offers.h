// What a commercial CA offers to our account, as its own lists say: products with their terms, organizations, groups, domains,
// and money where it tells. Used to check an issuer's options before an order is sent, and to alarm before money is short.
// Rule: what the CA does not list is unknown, never wrong: an absent list checks nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "evercert/plan.h"
#include "evercert/result.h"

namespace evercert {

// In hundredths of the account's currency.
using Cents = std::int64_t;
// "1234.5" is 123450. nullopt: no number.
std::optional<Cents> cents_of(const std::string& text);
std::string text_of_cents(Cents amount);

struct Offer {
  std::string id;
  std::string name;
  std::vector<unsigned> terms;  // in the unit of the option term; empty: not told
  std::optional<Cents> price;   // of one order for the shortest term
};

struct Offers {
  using List = std::optional<std::vector<Offer>>;
  List products;
  List organizations;
  List groups;
  std::optional<std::vector<std::string>> domains;  // the first of them
  std::size_t domain_count = 0;
  std::optional<Cents> balance;
  std::string currency;
  std::chrono::system_clock::time_point fetched_at;
  std::chrono::system_clock::time_point domains_at;

  // Why an order with these options would be refused: the first that is none of the lists, and what there is instead.
  [[nodiscard]] std::optional<std::string> missing_in(const Purchase& purchase) const;
  // The price of an order with these options, where the list of products has one.
  [[nodiscard]] std::optional<Cents> price_of(const Purchase& purchase) const;
  // "10 products, 2 organizations, balance 120.00 USD".
  [[nodiscard]] std::string summary() const;
};

// What is kept of them. Reading throws a std::exception for what is no record of offers.
nlohmann::json to_json(const Offers& offers);
Offers offers_from(const nlohmann::json& json);

// Where the agent keeps what it knows of an issuer's account between its lives: what is offered there, what the CA was asked
// for, and which orders an import left alone; each a record of its own. Thread-safe; implemented over the store.
class OfferRecords {
 public:
  enum class What { offers, requests, left_alone };
  // Throws a std::exception when the content is no record of its kind.
  using Reader = std::function<void(const nlohmann::json& content)>;
  virtual ~OfferRecords() = default;
  // False: there is none. Errors: storage (a damaged one lies in quarantine now), action_required (locked, or of a newer
  // release).
  virtual Result<bool> load(const std::string& issuer, What what, const Reader& read) = 0;
  // `content`: an object. Errors: storage.
  virtual Result<Done> save(const std::string& issuer, What what, nlohmann::json content) = 0;
};

// What a refusal of a CA is about, when its words rather than a code tell.
enum class Shortage { none, money, licence, rate };
Shortage shortage_in(std::string_view said);
// Makes of a refusal what it is about: money and licences are a person's matter, a limit on requests is waited for.
void name_shortage(Error& error, std::string_view said);

}  // namespace evercert
