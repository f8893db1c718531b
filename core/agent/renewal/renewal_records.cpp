// What a renewal finds on disk, and whether it may believe it.
#include <algorithm>
#include <set>

#include "agent/observe/status_report.h"
#include "agent/renewal/renewal.h"

namespace evercert {
namespace {

constexpr std::chrono::seconds between_looks{5};

}  // namespace

// Whatever order the names are written in.
bool Renewal::is_wanted(const OrderRecord& record) const {
  const std::set<Identifier> ordered(record.identifiers.begin(), record.identifiers.end());
  const std::set<Identifier> wanted(certificate_.identifiers.begin(), certificate_.identifiers.end());
  return ordered == wanted && record.key == key_;
}

Error Renewal::not_wanted() {
  return {ErrorKind::configuration, "the configuration asks for other names or another key now"};
}

std::optional<Workers::Again> Renewal::load(Time now) {
  pace_ = parts_.paces.load(certificate_.name, key_.algorithm);
  if (pace_.follow_clock(pace_.seen_at, now)) save_pace();
  seen_ = now;
  // Each start may bring the configuration that was missing.
  if (pace_.failure && pace_.failure->kind == ErrorKind::configuration) pace_.next_attempt = Time();
  {
    const std::lock_guard lock(mutex_);
    issues_ = pace_.issues_for(certificate_.identifiers);
    view_.failure = pace_.failure;
  }
  auto record = parts_.orders.load(certificate_.name, key_.algorithm);
  if (!record) {
    if (record.error().kind == ErrorKind::action_required) {
      hold(record.error());
      return Workers::Again{};
    }
    // What may be open must not be ordered a second time.
    cannot_read(record.error(), now);
    return Workers::Again{now + between_looks};
  }
  if (!*record && parts_.find_order) {
    record = parts_.find_order(certificate_, key_);
    if (!record) {
      cannot_read(record.error(), now);
      return Workers::Again{now + between_looks};
    }
  }
  loaded_ = true;
  if (is_corrected()) answered();
  remind_of_pause(now);
  const LastPurchase bought = parts_.orders.last_purchase(certificate_.name, key_.algorithm);
  purchase_lost_ = bought.is_lost(*record);
  if (purchase_lost_ && !(*record && (*record)->is_doubtful())) tell_lost_purchase(now);
  if (!*record) return std::nullopt;
  known_ = (*record)->known;
  subscriptions_ = (*record)->subscriptions;
  if (!is_open((*record)->state)) {
    if ((*record)->is_doubtful()) doubtful_ = std::move(**record);
    return std::nullopt;
  }

  const bool known = find_issuer_of(**record);
  if (!known && (*record)->purchase != 0) {
    left_purchase_ = (*record)->issuer_uri;
    tell_lost_purchase(now);
    return std::nullopt;
  }
  if (!known) {
    tell("renewal_failed", LogLevel::warn,
         "an open order at " + (*record)->issuer_uri + " is left alone: the configuration does not name that issuer any more");
    if ((*record)->order) known_.push_back((*record)->order->reference);
    return std::nullopt;
  }
  if (is_paid() && bought.outdates(**record)) {
    tell("renewal_failed", LogLevel::warn,
         "the record of an order at " + (*record)->issuer_uri +
             " is left alone: it is from before what happened since, and was put back");
    access_.reset();
    return std::nullopt;
  }
  if (pace_.failure && pace_.failure->lost && !lost_purchase()) answered();
  const auto& issuers = certificate_.issuers;
  const bool named = std::find(issuers.begin(), issuers.end(), (*record)->issuer) != issuers.end();
  if (!named && is_paid())
    tell("renewal_waits", LogLevel::warn,
         "an order that costs money is open at the issuer " + (*record)->issuer +
             ", which this certificate does not name any more; it is carried on: `evercert cancel " + certificate_.name +
             "`, then `evercert renew " + certificate_.name + "` orders from " + issuers.front());
  const bool wanted = is_wanted(**record) && (named || is_paid());
  const bool done = (*record)->order && parts_.is_published(**record);
  machine_ = std::make_unique<OrderMachine>(machine_parts(), std::move(**record));
  if (done) {
    remember_published();
    static_cast<void>(machine_->published().has_value());
    clean_up(machine_->record());
    known_ = machine_->record().known;
    machine_.reset();
    access_.reset();
    return std::nullopt;
  }
  if (!wanted) {
    if (auto given_up = machine_->give_up(not_wanted()); !given_up) {
      machine_.reset();
      loaded_ = false;
      return Workers::Again{now + between_looks};
    }
  }
  count_from_beginning(now);
  access_->budget->occupy(job_);
  has_place_ = true;
  if (pace_.next_attempt > now) retry_at_ = pace_.next_attempt;
  // A failed order is carried on after its pause; one that only waited is asked for at once.
  if (machine_->state() == OrderState::pending || machine_->state() == OrderState::presented) {
    parts_.watch_hits(job_, machine_->record().challenges);
  }
  show(retry_at_ ? "" : std::string("order: ") + to_string(machine_->state()), retry_at_,
       retry_at_ && pace_.failure ? "another try" : "");
  return std::nullopt;
}

// A person did what they were asked for: what failed before says nothing about the next try.
void Renewal::answered() {
  pace_.next_attempt = Time();
  pace_.failure.reset();
  save_pace();
  const std::lock_guard lock(mutex_);
  view_.failure.reset();
}

// Nobody reads the log of the process before: what failed there, and when it is tried again, is said once by this one.
void Renewal::remind_of_pause(Time now) {
  constexpr std::chrono::minutes worth_a_line{1};
  if (!pace_.failure) return;
  if (pace_.failure->kind == ErrorKind::challenge_failed) {
    const auto access = parts_.access(certificate_.issuers[pace_.issuer_index % certificate_.issuers.size()]);
    const std::lock_guard lock(mutex_);
    if (access) asked_uri_ = access->issuer->spec().uri;
  }
  if (pace_.next_attempt < now + worth_a_line) return;
  tell("renewal_waits", LogLevel::notice,
       "the next try is at " + to_rfc3339(pace_.next_attempt) +
           ", after what failed before the start: " + pace_.failure->message,
       {{"kind", to_string(pace_.failure->kind)},
        {"retry_at", to_rfc3339(pace_.next_attempt)},
        {"failures", std::to_string(pace_.failure->in_a_row)}});
}

// Before anything is ordered: what exists at the CA need not be bought again.
bool Renewal::adopt_given(Time now) {
  std::optional<OrderRecord> given;
  {
    const std::lock_guard lock(mutex_);
    given.swap(given_);
  }
  if (!given) return false;
  const std::string reference = given->order ? given->order->reference : "";
  const auto refuse = [&](const std::string& why) {
    tell("order_not_taken_over", LogLevel::warn, "the order " + reference + " at the CA is not tracked: " + why);
    return false;
  };
  if (machine_) return refuse("another order for " + certificate_.name + " is open");
  auto access = parts_.access(given->issuer);
  if (!access) return refuse("the issuer \"" + given->issuer + "\" cannot be used");
  if (access->issuer->spec().is_paid())
    given->purchase = parts_.orders.last_purchase(certificate_.name, key_.algorithm).number + 1;
  if (auto saved = parts_.orders.save(*given, Durability::power); !saved) return refuse(saved.error().message);
  access_ = std::move(access);
  purchase_lost_ = false;
  left_purchase_.reset();
  machine_ = std::make_unique<OrderMachine>(machine_parts(), std::move(*given));
  count_from_beginning(now);
  access_->budget->occupy(job_);
  has_place_ = true;
  polling_ = Polling();
  retry_at_.reset();
  hits_told_ = false;
  farthest_ = OrderState::planned;
  tell("order_taken_over", LogLevel::notice, "the order " + reference + " that was open at the CA is tracked from now on",
       {{"order", reference}});
  show(std::string("order: ") + to_string(machine_->state()), now, "");
  return true;
}

// What is free and not wanted any more ends by itself; what is paid for does not.
bool Renewal::doubts(const std::string& issuer_to_ask) {
  if (!doubtful_ || doubtful_->issuer != issuer_to_ask) return false;
  const bool same_ca = access_->issuer->spec().uri == doubtful_->issuer_uri;
  const bool outdated = !purchase_lost_ && parts_.orders.last_purchase(certificate_.name, key_.algorithm).outdates(*doubtful_);
  if (!same_ca || (is_paid() ? outdated : !is_wanted(*doubtful_))) doubtful_.reset();
  return doubtful_.has_value();
}

// Also where nothing is due: somebody may have asked for that order, and waits.
void Renewal::tell_lost_purchase(Time now) {
  const auto access = parts_.access(asks());
  const auto lost = lost_purchase();
  if (!lost || !access || !access->issuer->spec().is_paid()) return;
  note_failure(*lost, now);
  tell("action_required", LogLevel::error, lost->message, {{"kind", to_string(lost->kind)}});
}

// An order belongs to the address of its CA; the name of the issuer is the operator's to change.
bool Renewal::find_issuer_of(OrderRecord& record) {
  const auto bare = [](std::string uri) {
    while (uri.ends_with('/')) uri.pop_back();
    return uri;
  };
  std::vector<std::string> names{record.issuer};
  names.insert(names.end(), certificate_.issuers.begin(), certificate_.issuers.end());
  for (const std::string& name : names) {
    access_ = parts_.access(name);
    if (!access_ || bare(access_->issuer->spec().uri) != bare(record.issuer_uri)) continue;
    record.issuer = name;
    return true;
  }
  access_.reset();
  return false;
}

void Renewal::cannot_read(const Error& error, Time now) {
  show("its order cannot be read: " + error.message, now + between_looks, "");
  const bool first = !unreadable_;
  if (first) unreadable_ = Pace::Failure{error.kind, error.message, now, 1, "", {}, remedy_of(error), false, now};
  {
    // Until load() succeeds: what the CA is to be spared for stays as it is.
    const std::lock_guard lock(mutex_);
    view_.failure = unreadable_;
  }
  if (first) tell("storage_failed", LogLevel::error, "nothing is ordered, since its order cannot be read: " + error.message);
}

std::optional<Error> Renewal::lost_purchase() const {
  const std::string& name = certificate_.name;
  const auto lost = [](const std::string& what) {
    return Error{ErrorKind::action_required, what, std::nullopt,
                 std::make_shared<const Problem>(Problem{order_lost, "", "", {}})};
  };
  if (left_purchase_)
    return lost("an order for " + name + " that costs money is open at " + *left_purchase_ +
                ", which no issuer of the configuration has as its uri any more: write it as it was, and the order goes on, or "
                "`evercert renew " +
                name + "` orders anew");
  const auto generation = parts_.missing ? parts_.missing(certificate_) : std::nullopt;
  if (!purchase_lost_ && !generation) return std::nullopt;
  const std::string what =
      purchase_lost_
          ? "an order for " + name +
                " that costs money may be open at a CA: its record in state/orders/ was removed, or an older one put "
                "back; nothing is ordered by itself: find out by whom, look at the CA, then `evercert renew " +
                name + "` orders anew"
          : "generation " + std::to_string(*generation) + " of " + name +
                " cost money, and its files were removed or lost, or older ones put back; nothing is ordered by "
                "itself: find out by whom, bring them back (a backup of state/certificates/, `evercert import`), or "
                "`evercert renew " +
                name + "` orders anew";
  return lost(what);
}

}  // namespace evercert
