#include "agent/renewal/renewal.h"

#include <algorithm>
#include <set>

#include "agent/observe/status_report.h"
#include "agent/renewal/backoff.h"

namespace evercert {
namespace {

constexpr std::chrono::seconds between_looks{5};

bool is_for_people(ErrorKind kind) {
  return kind == ErrorKind::action_required || kind == ErrorKind::configuration;
}

// Whatever order the names are written in.
bool belongs_to(const OrderRecord& record, const CertificateSpec& certificate, const KeySpec& key) {
  const std::set<Identifier> ordered(record.identifiers.begin(), record.identifiers.end());
  const std::set<Identifier> wanted(certificate.identifiers.begin(), certificate.identifiers.end());
  return ordered == wanted && record.key == key;
}

Error not_wanted() {
  return {ErrorKind::configuration, "the configuration asks for other names or another key now"};
}

}  // namespace

std::string renewal_job(const std::string& certificate, KeyAlgorithm algorithm) {
  return certificate + (algorithm == KeyAlgorithm::rsa ? " (RSA)" : " (ECDSA)");
}

Renewal::Renewal(RenewalParts parts, CertificateSpec certificate, KeySpec key)
    : parts_(std::move(parts)),
      certificate_(std::move(certificate)),
      key_(key),
      job_(renewal_job(certificate_.name, key.algorithm)) {}

OrderMachine::Parts Renewal::machine_parts() const {
  return {*access_->issuer, *access_->solver, parts_.keys, parts_.orders, parts_.clock, parts_.events};
}

double Renewal::share_left(Time now) const {
  const std::lock_guard lock(mutex_);
  return installed_ ? remaining_share(installed_->lifetime, now) : 0;
}

Workers::Again Renewal::run() {
  const Time now = parts_.clock.now();
  {
    const std::lock_guard lock(mutex_);
    if (held_) return {};
  }
  if (!loaded_) {
    if (auto again = load(now)) return *again;
    // Who has least time left goes first, once all have looked.
    std::optional<Lifetime> lifetime;
    {
      const std::lock_guard lock(mutex_);
      if (installed_) lifetime = installed_->lifetime;
    }
    return {now, false, urgency(lifetime, now)};
  }
  follow_clock(now);
  drop_unsent();
  if (adopt_given(now)) return {now};
  const auto again = machine_ ? carry_on(now) : consider(now);
  // A step may take long enough for the clock to be turned, and back before the next one.
  follow_clock(parts_.clock.now());
  drop_unsent();
  return again;
}

// Whether anything is to be ordered at all is decided by the clock of now.
void Renewal::drop_unsent() {
  if (std::exchange(turned_back_, false) && machine_ && machine_->state() == OrderState::planned) end_order();
}

const std::string& Renewal::asks() const {
  if (machine_) return machine_->record().issuer;
  return certificate_.issuers[pace_.issuer_index % certificate_.issuers.size()];
}

void Renewal::follow_clock(Time now) {
  constexpr std::chrono::seconds turned{30};
  const Time seen = std::exchange(seen_, now);
  if (pace_.follow_clock(seen, now)) save_pace();
  if (seen <= now + turned) return;
  const auto by = now - seen;
  // What had come by the other clock has come.
  if (retry_at_) retry_at_ = *retry_at_ > seen ? *retry_at_ + by : std::min(*retry_at_, now);
  turned_back_ = true;
  polling_.follow_clock(seen, by);
  if (people_told_ > now) people_told_ = now;
  begun_ = std::min(begun_, now);
  overdue_since_.reset();
  {
    const std::lock_guard lock(mutex_);
    if (!announce_) announce_ = LogLevel::info;
    view_.failure = people_ ? people_ : pace_.failure;
  }
}

void Renewal::save_pace() {
  pace_.seen_at = parts_.clock.now();
  static_cast<void>(parts_.paces.save(certificate_.name, key_.algorithm, pace_).has_value());
}

// --- what is on disk ---

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
    tell("bundle_damaged", LogLevel::error, record.error().message);
    return Workers::Again{now + between_looks};
  }
  if (!*record && parts_.find_order) {
    record = parts_.find_order(certificate_, key_);
    if (!record) {
      // What may be open must not be ordered a second time.
      show("its orders cannot be read: " + record.error().message, now + between_looks, "");
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

  access_ = parts_.access((*record)->issuer);
  if (!access_ || access_->issuer->spec().uri != (*record)->issuer_uri) {
    tell("renewal_failed", LogLevel::warn,
         "an open order at " + (*record)->issuer_uri + " is left alone: the configuration does not name that issuer any more");
    if ((*record)->order) known_.push_back((*record)->order->reference);
    access_.reset();
    return std::nullopt;
  }
  if (is_paid() && bought.outdates(**record)) {
    tell("renewal_failed", LogLevel::warn,
         "the record of an order at " + (*record)->issuer_uri +
             " is left alone: it is from before what happened since, and was put back");
    access_.reset();
    return std::nullopt;
  }
  const bool wanted = belongs_to(**record, certificate_, key_);
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

// --- no order is open ---

std::optional<Time> Renewal::guarded(const std::vector<Issue>& issues, const std::optional<Installed>& installed,
                                     bool unsettled, Time now) {
  const bool there = installed && !installed->revoked && !unsettled;
  return guarded_until(issues, now, there ? std::optional(installed->lifetime.not_after) : std::nullopt);
}

Workers::Again Renewal::consider(Time now) {
  std::optional<Installed> installed;
  bool requested = false;
  bool forced = false;
  std::optional<LogLevel> announce;
  {
    const std::lock_guard lock(mutex_);
    installed = installed_;
    requested = requested_;
    forced = forced_;
    if (installed) announce = std::exchange(announce_, std::nullopt);
    issues_ = pace_.issues_for(certificate_.identifiers);
  }
  if (pace_.failure && pace_.failure->lost && !lost_purchase()) answered();
  Time at = now;
  std::string why = "there is none yet";
  if (requested) {
    why = "somebody asked for it";
  } else if (installed && !installed->covers) {
    why = "names have been added";
  } else if (installed) {
    at = due_time(installed->lifetime, certificate_.name, installed->generation);
    why = due_reason(installed->lifetime);
  }
  if (!requested && pace_.failure && pace_.failure->until_asked) {
    show("nothing is ordered before somebody asks for it", std::nullopt, pace_.failure->message);
    return {};
  }
  if (!requested && pace_.next_attempt > at) {
    at = pace_.next_attempt;
    if (pace_.failure) why = "another try";
  }
  if (!forced) {
    const bool unsettled = requested && (pace_.failure || !pace_.set_aside.empty());
    const auto until = guarded(pace_.issues_for(certificate_.identifiers), installed, unsettled, now);
    if (until && *until > at) {
      at = *until;
      why = "the guard against renewing too often";
    }
  }
  if (at > now) {
    show("", at, why);
    if (announce) {
      tell("renewal_scheduled", *announce, "renewal is due at " + to_rfc3339(at), {{"retry_at", to_rfc3339(at)}});
    }
    return {at};
  }
  return begin_order(installed, forced ? Asked::by_force : requested ? Asked::by_person : Asked::due, why, now);
}

Workers::Again Renewal::begin_order(const std::optional<Installed>& installed, Asked asked, const std::string& why, Time now) {
  if (asked == Asked::due && parts_.take_cover && parts_.take_cover(certificate_, key_)) return {now};
  const auto& issuers = certificate_.issuers;
  const std::string& name = issuers[pace_.issuer_index % issuers.size()];
  if (!access_ || access_->issuer->spec().name != name) access_ = parts_.access(name);
  if (!access_) return step_failed({ErrorKind::configuration, "the issuer \"" + name + "\" cannot be used"}, now);
  if (!access_->issuer->spec().orders && asked == Asked::due) {
    show("nothing is ordered: the issuer " + name + " has order off", std::nullopt, why);
    return {};
  }
  const std::string& uri = access_->issuer->spec().uri;
  {
    const std::lock_guard lock(mutex_);
    asked_uri_ = uri;
  }
  if (asked != Asked::by_force) {
    if (const auto until = parts_.validations.blocked_until(uri, names(), now)) {
      show("", *until,
           "a name could not be validated " + std::to_string(failed_validations_an_hour) +
               " times within an hour, as often as CAs allow");
      return {*until};
    }
  }
  if (const auto blocked = access_->budget->blocked_until(job_, now)) {
    // Another order probes; what it finds counts for all.
    const Error away{ErrorKind::connection, "the issuer cannot be reached"};
    if (choose_issuer(away)) {
      pace_.next_attempt = *blocked;
      return {move_on(name, away, now)};
    }
    show("", *blocked, away.message);
    return {*blocked};
  }
  const auto lifetime = installed ? std::optional<Lifetime>(installed->lifetime) : std::nullopt;
  if (!access_->budget->take(job_, urgency(lifetime, now))) {
    access_->budget->pass(job_, now);
    show("waiting for other orders at " + name + " to end", std::nullopt, why);
    return {};
  }
  has_place_ = true;
  if (asked != Asked::due && pace_.failure && is_for_people(pace_.failure->kind)) answered();
  in_doubt_ = doubts(name);
  if (is_paid() && !in_doubt_) {
    const auto lost = lost_purchase();
    if (lost && asked == Asked::due) return step_failed(*lost, now);
    if (auto closed = parts_.orders.close_purchase(certificate_.name, key_.algorithm); !closed)
      return step_failed(closed.error(), now);
    purchase_lost_ = false;
  }
  if (in_doubt_) {
    machine_ = std::make_unique<OrderMachine>(machine_parts(), std::move(*doubtful_));
    doubtful_.reset();
  } else {
    machine_ = std::make_unique<OrderMachine>(machine_parts(), certificate_, key_, known_, subscriptions_);
    const bool same = unplaced_ && unplaced_->issuer_uri == uri && belongs_to(*unplaced_, certificate_, key_);
    if (same) machine_->follow(*unplaced_);
    unplaced_.reset();
  }
  count_from_beginning(now);
  polling_ = Polling();
  retry_at_.reset();
  hits_told_ = false;
  farthest_ = OrderState::planned;
  return take_step(now);
}

// What is free and not wanted any more ends by itself; what is paid for does not.
bool Renewal::doubts(const std::string& issuer_to_ask) {
  if (!doubtful_ || doubtful_->issuer != issuer_to_ask) return false;
  const bool same_ca = access_->issuer->spec().uri == doubtful_->issuer_uri;
  const bool outdated = !purchase_lost_ && parts_.orders.last_purchase(certificate_.name, key_.algorithm).outdates(*doubtful_);
  if (!same_ca || (is_paid() ? outdated : !belongs_to(*doubtful_, certificate_, key_))) doubtful_.reset();
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

std::optional<Error> Renewal::lost_purchase() const {
  const std::string& name = certificate_.name;
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
  return Error{ErrorKind::action_required, what, std::nullopt,
               std::make_shared<const Problem>(Problem{order_lost, "", "", {}})};
}

// --- an order is open ---

Workers::Again Renewal::carry_on(Time now) {
  look_for_hits(now);
  bool cancelled = false;
  {
    const std::lock_guard lock(mutex_);
    cancelled = std::exchange(cancelled_, false);
  }
  if (cancelled) {
    // Also what came and cannot be used, or not yet.
    issued_.reset();
    auto problem = std::make_shared<const Problem>(Problem{order_cancelled, "", "", {}});
    const Error why{ErrorKind::action_required, "the order was cancelled on request; renew orders again", std::nullopt,
                    problem};
    if (auto given_up = machine_->give_up(why); !given_up) return step_failed(given_up.error(), now);
    return take_step(now);
  }
  const bool outage_over = waits_for_probe_ && !access_->budget->is_open();
  bool ask_now = false;
  {
    const std::lock_guard lock(mutex_);
    ask_now = std::exchange(ask_now_, false);
  }
  if (retry_at_ && now < *retry_at_ && !outage_over && !ask_now) return {*retry_at_};
  if (issued_) return publish(now);
  if (polling_.waiting() && !ask_now) {
    const Time next = polling_.next(access_->budget->experience(), parts_.random());
    if (next > now) return {next};
  }
  if (const auto blocked = access_->budget->blocked_until(job_, now)) {
    show("", *blocked, "the issuer cannot be reached");
    return {*blocked};
  }
  return take_step(now);
}

Workers::Again Renewal::take_step(Time now) {
  retry_at_.reset();
  waits_for_probe_ = false;
  if (!has_place_) {
    access_->budget->occupy(job_);
    has_place_ = true;
  }
  const OrderState before = machine_->state();
  show(std::string("order: ") + to_string(before), std::nullopt, "");
  auto result = machine_->step();
  // What is set from here on is set by this clock.
  now = parts_.clock.now();
  follow_clock(now);
  if (!result && is_patient(result.error(), now)) return put_off(result.error(), now);
  put_off_since_ = Time();
  if (!result) return step_failed(result.error(), now);
  // Giving up succeeds whether the CA hears of it or not.
  if (before == OrderState::invalid)
    access_->budget->pass(job_, now);
  else
    reached(now);
  look_for_hits(now);

  const OrderState after = machine_->state();
  // An order that gets on has no row of failures, however often a single step has to be tried.
  const bool onward = after > farthest_;
  if (onward) {
    farthest_ = after;
    if (pace_.failure && pace_.failure->kind == ErrorKind::connection) pace_.failure->in_a_row = 0;
    if (pace_.failure) pace_.failure->rows.erase(ErrorKind::connection);
  }
  show(std::string("order: ") + to_string(after), std::nullopt, "");
  if (after == OrderState::failed) {
    Error why = machine_->record().problem.value_or(Error{ErrorKind::internal, "the order was given up"});
    return order_failed(why, now);
  }
  if (in_doubt_ && after == OrderState::planned) {
    keep_unplaced(true);
    end_order();
    return {now};
  }
  if (in_doubt_ && after != OrderState::placing) {
    in_doubt_ = purchase_lost_ = false;
    if (!belongs_to(machine_->record(), certificate_, key_)) {
      if (auto given_up = machine_->give_up(not_wanted()); !given_up) return step_failed(given_up.error(), now);
      return {now};
    }
  }
  if (result->issued) {
    issued_ = std::move(result->issued);
    return publish(now);
  }
  if (before == OrderState::placed && !machine_->record().challenges.empty()) {
    parts_.watch_hits(job_, machine_->record().challenges);
  }
  if (before == OrderState::pending && after != OrderState::pending && after != OrderState::invalid && polling_.waiting()) {
    access_->budget->learn_hits(polling_.hits(), polling_.challenges());
  }
  if (onward || result->wait == Wait::people) overdue_since_.reset();
  const bool stuck = result->wait != Wait::people && is_stuck(now);
  note_people(people_must(result->wait, stuck), now);
  if (stuck && result->wait != Wait::none && !is_paid()) return give_up_stuck(now);
  if (result->wait == Wait::none) {
    polling_.end();
    return {now};
  }
  if (result->wait == Wait::setback) {
    polling_.end();
    const Time at = now + setback_pause(machine_->record().setbacks);
    retry_at_ = at;
    if (at - now > place_is_kept) end_place();
    show(std::string("order: ") + to_string(after), at, "the CA did not let the order get on");
    return {at};
  }
  const auto what = result->wait == Wait::validation ? Polling::For::validation
                    : result->wait == Wait::people   ? Polling::For::people
                                                     : Polling::For::issuance;
  if (polling_.waits_for(what) && before == after) {
    polling_.polled(result->retry_after, now);
  } else if (polling_.begin_again(what, machine_->record().challenges.size(), now, onward)) {
    if (result->retry_after && what != Polling::For::validation) polling_.polled(result->retry_after, now);
  } else {
    polling_.polled(result->retry_after, now);
  }
  look_for_hits(now);
  const Time next = polling_.next(access_->budget->experience(), parts_.random());
  if (next - now > place_is_kept) end_place();
  const bool unseen = result->wait == Wait::answers;
  show(std::string("order: ") + to_string(after) + (unseen ? ", what proves the names cannot be seen everywhere yet" : ""), next,
       unseen ? "looking for it again" : "asking the CA again");
  return {next};
}

Workers::Again Renewal::publish(Time now) {
  const OrderRecord& record = machine_->record();
  BundlePair pair;
  pair.key = key_;
  pair.leaf = issued_->leaf;
  pair.chain = issued_->chain;
  pair.private_key = record.private_key;
  pair.reference = record.key_reference;
  unsigned answered = 0;
  {
    const std::lock_guard lock(mutex_);
    answered = requests_;
  }
  auto facts = leaf_facts(issued_->leaf);
  if (facts) {
    std::optional<ServedNow> served;
    bool insisted = false;
    {
      const std::lock_guard lock(mutex_);
      if (installed_ && !installed_->revoked) served = ServedNow{installed_->lifetime, installed_->covers};
      insisted = forced_;
    }
    const Acceptance acceptance = judge_issued(*facts, served, insisted, now);
    if (acceptance.verdict == Acceptance::Verdict::wait) return keep_until(acceptance.at, now);
    if (acceptance.verdict == Acceptance::Verdict::unusable) return not_usable(*acceptance.why, now);
    const auto lent = parts_.lent && !insisted ? parts_.lent(certificate_, facts->identifiers) : std::nullopt;
    if (lent) return keep_for(*lent, now);
  }
  auto published = facts ? parts_.publish(certificate_, std::move(pair), record.issuer) : Result<Done>(facts.error());
  if (!published && published.error().kind == ErrorKind::issuer_refused) return not_usable(published.error(), now);
  if (!published) return step_failed(published.error(), now);
  const auto lifetime = std::chrono::duration_cast<std::chrono::seconds>(facts->not_after - facts->not_before);
  pace_.remember_issue(certificate_.identifiers, {now, lifetime});
  pace_.failure.reset();
  pace_.next_attempt = pace_.forgotten_at = Time();
  pace_.issuer_failures = pace_.unusable = 0;
  // The next renewal begins with the first issuer again.
  pace_.issuer_index = 0;
  pace_.set_aside.clear();
  save_pace();
  clean_up(record);
  // When this write fails the record says `valid` still; who reads it finds the key in the newest bundle.
  static_cast<void>(machine_->published().has_value());
  known_ = machine_->record().known;
  subscriptions_ = machine_->record().subscriptions;
  {
    const std::lock_guard lock(mutex_);
    // Who has seen this one served may have asked for the next already.
    if (requests_ == answered) requested_ = forced_ = false;
    announce_ = LogLevel::info;
    view_.failure.reset();
  }
  end_order();
  return consider(parts_.clock.now());
}

}  // namespace evercert
