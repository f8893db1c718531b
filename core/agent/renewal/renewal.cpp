#include "agent/renewal/renewal.h"

#include <algorithm>

#include "agent/observe/status_report.h"
#include "agent/renewal/backoff.h"

namespace evercert {
namespace {

bool is_for_people(ErrorKind kind) {
  return kind == ErrorKind::action_required || kind == ErrorKind::configuration;
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
  if (const auto lost = is_paid() && !in_doubt_ ? lost_purchase() : std::nullopt) {
    if (asked == Asked::due) return step_failed(*lost, now);
    if (auto closed = parts_.orders.close_purchase(certificate_.name, key_.algorithm); !closed)
      return step_failed(closed.error(), now);
    purchase_lost_ = false;
    left_purchase_.reset();
  }
  if (in_doubt_) {
    machine_ = std::make_unique<OrderMachine>(machine_parts(), std::move(*doubtful_));
    doubtful_.reset();
  } else {
    machine_ = std::make_unique<OrderMachine>(machine_parts(), certificate_, key_, known_, subscriptions_);
    const bool same = unplaced_ && unplaced_->issuer_uri == uri && is_wanted(*unplaced_);
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
    if (!is_wanted(machine_->record())) {
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
  const bool stuck = result->wait != Wait::people && result->wait != Wait::answers && is_stuck(now);
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
  show(std::string("order: ") + to_string(after) + (unseen ? ", what proves the names cannot be seen everywhere yet" : ""),
       next, unseen ? "looking for it again" : "asking the CA again");
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
