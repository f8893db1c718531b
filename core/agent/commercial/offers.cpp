#include "agent/commercial/offers.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <limits>

#include "agent/commercial/rest.h"
#include "serving/base/bounds.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

// More than a person reads in one sentence.
constexpr std::size_t named_at_most = 12;

const Offer* find_in(const Offers::List& list, const std::string& id) {
  if (!list) return nullptr;
  const auto found = std::find_if(list->begin(), list->end(), [&](const Offer& one) { return one.id == id; });
  return found == list->end() ? nullptr : &*found;
}

std::string listed(const std::vector<Offer>& offers) {
  std::string text;
  for (std::size_t i = 0; i < offers.size() && i < named_at_most; ++i) {
    text += (i == 0 ? "" : ", ") + offers[i].id + (offers[i].name.empty() ? "" : " (" + offers[i].name + ")");
  }
  if (offers.size() > named_at_most) text += " and " + std::to_string(offers.size() - named_at_most) + " more";
  return text.empty() ? "none" : text;
}

std::optional<std::string> absent(const Offers::List& list, const char* option, const std::string& value) {
  if (!list || value.empty() || find_in(list, value) != nullptr) return std::nullopt;
  return "this account has no " + std::string(option) + " " + value + "; there is: " + listed(*list) + "; correct the option " +
         option;
}

Json json_of(const std::vector<Offer>& offers) {
  Json list = Json::array();
  for (const auto& one : offers) {
    Json json{{"id", one.id}, {"name", one.name}};
    if (!one.terms.empty()) json["terms"] = one.terms;
    if (one.price) json["price"] = *one.price;
    list.push_back(std::move(json));
  }
  return list;
}

Offers::List list_from(const Json& json, const char* member) {
  if (!json.contains(member)) return std::nullopt;
  Offers::List list(std::in_place);
  for (const auto& one : json.at(member)) {
    Offer offer{one.at("id").get<std::string>(), one.at("name").get<std::string>(), {}, {}};
    if (one.contains("terms")) offer.terms = one.at("terms").get<std::vector<unsigned>>();
    if (one.contains("price")) offer.price = one.at("price").get<Cents>();
    list->push_back(std::move(offer));
  }
  return list;
}

bool speaks_of(std::string_view said, const std::vector<std::string_view>& words) {
  return std::any_of(words.begin(), words.end(), [&](std::string_view word) { return contains_word(said, word); });
}

}  // namespace

std::optional<Cents> cents_of(const std::string& text) {
  constexpr std::size_t longest = 15;
  std::string digits;
  std::size_t decimals = 0;
  bool point = false;
  const bool owed = text.starts_with('-');
  for (const char c : owed ? text.substr(1) : text) {
    if (c == ',' || c == ' ') continue;  // between thousands
    if (c == '.' && !point) {
      point = true;
    } else if (std::isdigit(static_cast<unsigned char>(c)) == 0) {
      return std::nullopt;
    } else if (!point || decimals < 2) {
      digits += c;
      if (point) ++decimals;
    }
  }
  if (digits.empty() || digits.size() > longest) return std::nullopt;
  for (; decimals < 2; ++decimals) digits += '0';
  const auto amount = static_cast<Cents>(whole_number_in(digits, 0, std::numeric_limits<Cents>::max()).value_or(0));
  return owed ? -amount : amount;
}

std::string text_of_cents(Cents amount) {
  std::array<char, 32> text{};
  const Cents size = amount < 0 ? -amount : amount;
  static_cast<void>(std::snprintf(text.data(), text.size(), "%s%lld.%02lld", amount < 0 ? "-" : "",
                                  static_cast<long long>(size / 100), static_cast<long long>(size % 100)));
  return text.data();
}

std::optional<std::string> Offers::missing_in(const Purchase& purchase) const {
  if (auto why = absent(products, "product", purchase.product)) return why;
  if (const Offer* bought = find_in(products, purchase.product); bought != nullptr && !bought->terms.empty()) {
    const auto& terms = bought->terms;
    if (purchase.term != 0 && std::find(terms.begin(), terms.end(), purchase.term) == terms.end()) {
      std::string there;
      for (const unsigned term : terms) there += (there.empty() ? "" : ", ") + std::to_string(term);
      return "the product " + bought->id + " has no term " + std::to_string(purchase.term) + "; there is: " + there +
             "; correct the option term";
    }
  }
  if (auto why = absent(organizations, "organization", purchase.organization)) return why;
  return absent(groups, "group", purchase.group);
}

std::optional<Cents> Offers::price_of(const Purchase& purchase) const {
  const Offer* bought = find_in(products, purchase.product);
  return bought == nullptr ? std::nullopt : bought->price;
}

std::string Offers::summary() const {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  const auto count = [&](const List& list, const char* what) {
    if (list) add(std::to_string(list->size()) + " " + what);
  };
  count(products, "products");
  count(organizations, "organizations");
  count(groups, "groups");
  if (domains) add(std::to_string(domain_count) + " domains");
  if (balance) add("balance " + text_of_cents(*balance) + (currency.empty() ? "" : " " + currency));
  return text.empty() ? "the CA lists nothing" : text;
}

Json to_json(const Offers& offers) {
  Json json{{"fetched_at", std::chrono::system_clock::to_time_t(offers.fetched_at)},
            {"domains_at", std::chrono::system_clock::to_time_t(offers.domains_at)},
            {"currency", offers.currency},
            {"domain_count", offers.domain_count}};
  if (offers.products) json["products"] = json_of(*offers.products);
  if (offers.organizations) json["organizations"] = json_of(*offers.organizations);
  if (offers.groups) json["groups"] = json_of(*offers.groups);
  if (offers.domains) json["domains"] = *offers.domains;
  if (offers.balance) json["balance"] = *offers.balance;
  return json;
}

Offers offers_from(const Json& json) {
  Offers offers;
  offers.fetched_at = moment_of(json.at("fetched_at").get<std::time_t>());
  offers.domains_at = moment_of(json.at("domains_at").get<std::time_t>());
  offers.currency = json.at("currency").get<std::string>();
  offers.domain_count = json.at("domain_count").get<std::size_t>();
  offers.products = list_from(json, "products");
  offers.organizations = list_from(json, "organizations");
  offers.groups = list_from(json, "groups");
  if (json.contains("domains")) offers.domains = json.at("domains").get<std::vector<std::string>>();
  if (json.contains("balance")) offers.balance = json.at("balance").get<Cents>();
  return offers;
}

Shortage shortage_in(std::string_view said) {
  if (speaks_of(said, {"too many requests", "rate limit", "request_limit_exceeded", "throttl"})) {
    return Shortage::rate;
  }
  if (speaks_of(said, {"balance", "insufficient", "credit", " fund"})) return Shortage::money;
  if (speaks_of(said, {"licen", "quota", "used up", "limit reached", "limit exceeded", "limit has been reached"})) {
    return Shortage::licence;
  }
  return Shortage::none;
}

void name_shortage(Error& error, std::string_view said) {
  switch (shortage_in(said)) {
    case Shortage::money:
      error.kind = ErrorKind::action_required;
      error.message += "; fill up the account at the CA";
      return;
    case Shortage::licence:
      error.kind = ErrorKind::action_required;
      error.message += "; what was bought at the CA is used up: order more there";
      return;
    case Shortage::rate:
      error.kind = ErrorKind::rate_limited;
      return;
    case Shortage::none:
      return;
  }
}

}  // namespace evercert
