#include "agent/commercial/cached_account.h"

#include <algorithm>

#include "agent/issuer/chain.h"
#include "serving/base/bounds.h"
#include "serving/base/json.h"
#include "serving/config/industry_rules.h"

namespace evercert {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using Time = std::chrono::system_clock::time_point;

constexpr hours between_syncs{7 * 24};
constexpr hours between_looks_at_money{24};
constexpr hours after_a_failure{1};
// An agent that has never seen the lists reads them with its first order, or this long after its start.
constexpr minutes first_sync{10};
constexpr minutes lists_are_fresh{1};
constexpr hours between_explanations{1};
constexpr hours between_balance_reminders{24};

}  // namespace

CachedAccount::CachedAccount(IssuerSpec spec, CommercialApi& api, std::unique_ptr<CommercialAccount> account,
                             const IssuerSurroundings& surroundings, AsPlaced as_placed)
    : spec_(std::move(spec)),
      api_(api),
      account_(std::move(account)),
      clock_(surroundings.clock),
      events_(surroundings.events),
      records_(surroundings.offers),
      as_placed_(std::move(as_placed)),
      open_(spec_, api_, clock_, events_, records_, surroundings.revoked),
      begun_(surroundings.clock.now()) {}

Result<IssuedCertificate> CachedAccount::certificate_of(const std::string& order) {
  auto pem = api_.download(order);
  if (!pem) return pem.error();
  auto chain = read_issued_chain(*pem);
  if (!chain) return chain.error().with_prefix("issuer " + spec_.name + ": the order " + order);
  if (chain->issuer_names.size() == 1) {
    return Error{ErrorKind::issuer_refused, "issuer " + spec_.name + ": the CA hands out the certificate of the order " +
                                                order + " without the intermediate that signed it (" +
                                                chain->issuer_names.front() + ")"};
  }
  return std::move(chain->certificates);
}

// --- what the CA offers ---

std::optional<Offers> CachedAccount::known() {
  const std::lock_guard lock(mutex_);
  if (loaded_ || records_ == nullptr) return offers_;
  // What cannot be read is fetched again.
  loaded_ = true;
  static_cast<void>(
      records_->load(spec_.name, OfferRecords::What::offers, [this](const Json& json) { offers_ = offers_from(json); })
          .has_value());
  return offers_;
}

Result<Offers> CachedAccount::fetch(bool domains) {
  auto offers = account_->offers(domains);
  const Time now = clock_.now();
  if (!offers) {
    not_before_ = now + std::max<seconds>(after_a_failure, offers.error().retry_after.value_or(seconds(0)));
    return offers;
  }
  offers->fetched_at = now;
  if (domains) {
    offers->domains_at = now;
  } else if (const auto before = known()) {
    offers->domains = before->domains;
    offers->domain_count = before->domain_count;
    offers->domains_at = before->domains_at;
  }
  not_before_ = Time();
  {
    const std::lock_guard lock(mutex_);
    offers_ = *offers;
    loaded_ = true;
  }
  if (records_ != nullptr) {
    if (auto saved = records_->save(spec_.name, OfferRecords::What::offers, to_json(*offers)); !saved) {
      tell("sync_failed", LogLevel::warn, "what " + api_.title() + " offers could not be kept: " + saved.error().message);
    }
  }
  tell_balance(*offers);
  return offers;
}

Result<Offers> CachedAccount::sync(bool domains) {
  const std::lock_guard turn(turn_);
  return fetch(domains);
}

Time CachedAccount::due(const std::optional<Offers>& offers) const {
  Time at = begun_ + first_sync;
  if (offers && offers->domains_at == Time()) {
    // The first order has read all but the domains.
    at = offers->fetched_at + between_looks_at_money;
  } else if (offers) {
    at = offers->domains_at + between_syncs;
    if (offers->balance) at = std::min<Time>(at, offers->fetched_at + between_looks_at_money);
  }
  return std::max(at, not_before_);
}

std::optional<Time> CachedAccount::tend() {
  auto next = open_.tend();
  const std::lock_guard turn(turn_);
  const auto offers = known();
  const Time now = clock_.now();
  if (is_still_ahead(due(offers), now, between_syncs + hours(1))) return next;
  const bool domains = !offers || offers->domains_at + between_syncs <= now;
  if (auto fetched = fetch(domains); !fetched) {
    tell("sync_failed", LogLevel::warn, "what " + api_.title() + " offers could not be read: " + fetched.error().message);
  }
  return next;
}

Result<Done> CachedAccount::check_options() {
  const std::lock_guard turn(turn_);
  auto offers = known();
  // Lists that cannot be read keep nothing back: the CA itself will say what it thinks of the order.
  const auto look = [&] {
    auto fetched = fetch(false);
    offers = fetched ? std::optional<Offers>(std::move(*fetched)) : std::nullopt;
  };
  if (!offers && !is_still_ahead(not_before_, clock_.now(), std::chrono::hours(25))) look();
  auto missing = offers ? offers->missing_in(spec_.purchase) : std::nullopt;
  if (missing && clock_.now() - offers->fetched_at > lists_are_fresh) {
    // It may have been added at the CA since then.
    look();
    missing = offers ? offers->missing_in(spec_.purchase) : std::nullopt;
  }
  if (!missing) return Done{};
  return Error{ErrorKind::action_required, "issuer " + spec_.name + " cannot order at " + api_.title() + ": " + *missing};
}

// --- open orders of others ---

Json json_of_left_alone(const std::map<std::string, std::string>& orders) {
  return {{"orders", orders}};
}

std::map<std::string, std::string> left_alone_from(const Json& json) {
  return json.at("orders").get<std::map<std::string, std::string>>();
}

std::map<std::string, std::string>& CachedAccount::left_alone() {
  if (left_alone_) return *left_alone_;
  left_alone_.emplace();
  if (records_ == nullptr) return *left_alone_;
  // A record that cannot be read costs one more import.
  const auto read = [this](const Json& json) { *left_alone_ = left_alone_from(json); };
  static_cast<void>(records_->load(spec_.name, OfferRecords::What::left_alone, read).has_value());
  return *left_alone_;
}

void CachedAccount::keep_left_alone() {
  if (records_ == nullptr) return;
  // So does one that cannot be written.
  const auto saved = records_->save(spec_.name, OfferRecords::What::left_alone, json_of_left_alone(*left_alone_));
  static_cast<void>(saved.has_value());
}

void CachedAccount::leave_alone(const std::string& order, const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (!left_alone().emplace(order, name).second) return;
  keep_left_alone();
}

Result<Done> CachedAccount::check_open_orders(const std::string& name) {
  std::vector<std::string> orders;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [order, of] : left_alone()) {
      if (of == name) orders.push_back(order);
    }
  }
  for (const auto& order : orders) {
    auto progress = api_.track(order);
    if (!progress && !is_forgotten(progress.error())) return progress.error();
    if (progress && (progress->stage == Stage::working || progress->stage == Stage::people)) {
      return Error{
          ErrorKind::action_required,
          "issuer " + spec_.name + ": the order " + order + " for " + name + " is open at " + api_.title() +
              " already, and nobody here knows for which key: nothing is ordered beside it; take it over with evercert "
              "import issuer once it is issued, or cancel it in the portal"};
    }
    const std::lock_guard lock(mutex_);
    left_alone().erase(order);
    keep_left_alone();
  }
  return Done{};
}

Error CachedAccount::explained(Error refusal) {
  if (!account_->says_unknown(refusal)) return refusal;
  const std::lock_guard turn(turn_);
  const Time now = clock_.now();
  if (now - explained_at_ > between_explanations) {
    explained_at_ = now;
    static_cast<void>(fetch(false).has_value());
  }
  const auto offers = known();
  if (!offers) return refusal;
  if (const auto missing = offers->missing_in(spec_.purchase)) {
    refusal.kind = ErrorKind::action_required;
    refusal.message += "; " + *missing;
  }
  return refusal;
}

// --- money ---

std::optional<Cents> CachedAccount::measure(const Offers& offers) const {
  if (!spec_.purchase.low_balance.empty()) return cents_of(spec_.purchase.low_balance);
  return offers.price_of(spec_.purchase);
}

std::optional<IssuerAccount::Seen> CachedAccount::seen() {
  static_cast<void>(known().has_value());
  const std::lock_guard lock(mutex_);
  if (!offers_) return std::nullopt;
  const auto low = measure(*offers_);
  const bool by_mail =
      std::find(spec_.challenges.begin(), spec_.challenges.end(), ChallengeKind::email) != spec_.challenges.end();
  return Seen{offers_->summary() + "; " + rules_text(clock_.now(), by_mail), offers_->balance, offers_->currency,
              low && offers_->balance && *offers_->balance < *low, offers_->fetched_at};
}

void CachedAccount::tell_balance(const Offers& offers) {
  const auto low = measure(offers);
  if (!offers.balance || !low) return;
  const std::string amount = text_of_cents(*offers.balance) + (offers.currency.empty() ? "" : " " + offers.currency);
  const std::vector<std::pair<std::string, std::string>> fields{{"balance", text_of_cents(*offers.balance)},
                                                                {"low_balance", text_of_cents(*low)}};
  if (*offers.balance >= *low) {
    if (told_low_at_ != Time()) {
      tell("balance_restored", LogLevel::notice, "the balance at " + api_.title() + " is " + amount, fields);
    }
    told_low_at_ = Time();
    return;
  }
  if (told_low_at_ != Time() && clock_.now() - told_low_at_ < between_balance_reminders) return;
  told_low_at_ = clock_.now();
  tell("balance_low", LogLevel::warn,
       "the balance at " + api_.title() + " is " + amount + ", less than " + text_of_cents(*low) +
           (spec_.purchase.low_balance.empty() ? ", the price of the next order" : "") +
           "; fill up the account before the next renewal",
       fields);
}

void CachedAccount::tell(const char* name, LogLevel level, const std::string& sentence,
                         std::vector<std::pair<std::string, std::string>> fields) {
  events_.tell({name, level, {}, "", spec_.name, "issuer " + spec_.name + ": " + sentence, std::move(fields)});
}

}  // namespace evercert
