#include "agent/renewal/renewal.h"

#include <algorithm>

#include "agent/observe/status_report.h"
#include "agent/renewal/backoff.h"

namespace evercert {
namespace {

constexpr unsigned failures_before_next_issuer = 3;
constexpr double try_every_issuer_below = 1.0 / 6;
// An order that waits longer than this leaves its place to others.
constexpr std::chrono::minutes place_is_kept{1};

bool belongs_to(const OrderRecord& record, const CertificateSpec& certificate, const KeySpec& key) {
  return record.identifiers == certificate.identifiers && record.key == key;
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
  return {*seat_->issuer, *seat_->solver, parts_.keys, parts_.orders, parts_.clock, parts_.events};
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
  return machine_ ? carry_on(now) : consider(now);
}

// --- what is on disk ---

std::optional<Workers::Again> Renewal::load(Time now) {
  pace_ = parts_.paces.load(certificate_.name, key_.algorithm);
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
    return Workers::Again{now + std::chrono::seconds(5)};
  }
  loaded_ = true;
  if (!*record) return std::nullopt;
  known_ = (*record)->known;
  if (!is_open((*record)->state)) return std::nullopt;

  seat_ = parts_.seat((*record)->issuer);
  if (!seat_ || seat_->issuer->spec().uri != (*record)->issuer_uri) {
    tell("renewal_failed", LogLevel::warn,
         "an open order at " + (*record)->issuer_uri + " is left alone: the configuration does not name that issuer any more");
    if ((*record)->order) known_.push_back((*record)->order->reference);
    seat_.reset();
    return std::nullopt;
  }
  const bool wanted = belongs_to(**record, certificate_, key_);
  const bool done = (*record)->state == OrderState::valid && parts_.is_published(**record);
  machine_ = std::make_unique<OrderMachine>(machine_parts(), std::move(**record));
  if (done) {
    static_cast<void>(machine_->published().has_value());
    clean_up(machine_->record());
    known_ = machine_->record().known;
    machine_.reset();
    seat_.reset();
    return std::nullopt;
  }
  if (!wanted) {
    const Error changed{ErrorKind::configuration, "the configuration asks for other names or another key now"};
    if (auto given_up = machine_->give_up(changed); !given_up) {
      machine_.reset();
      loaded_ = false;
      return Workers::Again{now + std::chrono::seconds(5)};
    }
  }
  seat_->budget->occupy(job_);
  has_place_ = true;
  if (pace_.next_attempt > now) retry_at_ = pace_.next_attempt;
  // A failed order is carried on after its pause; one that only waited is asked for at once.
  if (machine_->state() == OrderState::pending) {
    parts_.watch_hits(job_, machine_->record().challenges);
  }
  return std::nullopt;
}

// --- no order is open ---

Workers::Again Renewal::consider(Time now) {
  std::optional<Installed> installed;
  bool requested = false;
  bool forced = false;
  bool announce = false;
  {
    const std::lock_guard lock(mutex_);
    installed = installed_;
    requested = requested_;
    forced = forced_;
    announce = std::exchange(announce_, false);
    issues_ = pace_.issues_for(certificate_.identifiers);
  }
  Time at = now;
  std::string why = "there is none yet";
  if (requested) {
    why = "somebody asked for it";
  } else if (installed && !installed->covers) {
    why = "names or kind of key have changed";
  } else if (installed) {
    at = due_time(installed->lifetime, certificate_.name, installed->generation);
    why = due_reason(installed->lifetime);
  }
  if (!requested && pace_.next_attempt > at) {
    at = pace_.next_attempt;
    if (pace_.failure) why = "another try after: " + pace_.failure->message;
  }
  if (!forced) {
    const auto guarded = guarded_until(pace_.issues_for(certificate_.identifiers), now);
    if (guarded && *guarded > at) {
      at = *guarded;
      why = "the guard against renewing too often";
    }
  }
  if (at > now) {
    show("", at, why);
    if (announce && installed) {
      tell("renewal_scheduled", LogLevel::info, "renewal is due at " + to_rfc3339(at), {{"retry_at", to_rfc3339(at)}});
    }
    return {at};
  }

  const auto& issuers = certificate_.issuers;
  const std::string& name = issuers[pace_.issuer_index % issuers.size()];
  if (!seat_ || seat_->issuer->spec().name != name) seat_ = parts_.seat(name);
  if (!seat_) return step_failed({ErrorKind::configuration, "the issuer \"" + name + "\" cannot be used"}, now);
  if (const auto blocked = seat_->budget->blocked_until(job_, now)) {
    show("", *blocked, "the issuer cannot be reached");
    return {*blocked};
  }
  const auto lifetime = installed ? std::optional<Lifetime>(installed->lifetime) : std::nullopt;
  if (!seat_->budget->take(job_, urgency(lifetime, now))) {
    show("waiting for other orders at " + name + " to end", std::nullopt, why);
    return {};
  }
  has_place_ = true;
  machine_ = std::make_unique<OrderMachine>(machine_parts(), certificate_, key_, known_);
  polling_.end();
  retry_at_.reset();
  return take_step(now);
}

// --- an order is open ---

Workers::Again Renewal::carry_on(Time now) {
  if (retry_at_ && now < *retry_at_) {
    const std::lock_guard lock(mutex_);
    if (!requested_) return {*retry_at_};
  }
  if (issued_) return publish(now);
  if (const auto blocked = seat_->budget->blocked_until(job_, now)) {
    show("", *blocked, "the issuer cannot be reached");
    return {*blocked};
  }
  if (polling_.waiting()) {
    polling_.saw(parts_.hits(job_), now);
    const Time next = polling_.next(seat_->budget->experience(), parts_.random());
    if (next > now) return {next};
  }
  return take_step(now);
}

Workers::Again Renewal::take_step(Time now) {
  retry_at_.reset();
  if (!has_place_) {
    seat_->budget->occupy(job_);
    has_place_ = true;
  }
  const OrderState before = machine_->state();
  show(std::string("order: ") + to_string(before), std::nullopt, "");
  auto result = machine_->step();
  now = parts_.clock.now();
  if (!result) return step_failed(result.error(), now);
  const auto back = seat_->budget->succeeded(job_);
  if (back.closed_now) tell("issuer_back", LogLevel::notice, "the issuer can be reached again");
  for (const auto& job : back.waiting) parts_.poke(job);

  const OrderState after = machine_->state();
  show(std::string("order: ") + to_string(after), std::nullopt, "");
  if (after == OrderState::failed) {
    Error why = machine_->record().problem.value_or(Error{ErrorKind::internal, "the order was given up"});
    return order_failed(why, now);
  }
  if (result->issued) {
    issued_ = std::move(result->issued);
    return publish(now);
  }
  if (before == OrderState::placed && !machine_->record().challenges.empty()) {
    parts_.watch_hits(job_, machine_->record().challenges);
  }
  if (before == OrderState::pending && after != OrderState::pending && after != OrderState::invalid && polling_.waiting()) {
    polling_.saw(parts_.hits(job_), now);
    seat_->budget->learn_hits(polling_.hits(), polling_.challenges());
  }
  if (result->wait == Wait::none) {
    polling_.end();
    return {now};
  }
  if (polling_.waiting() && before == after) {
    polling_.polled(result->retry_after, now);
  } else {
    const auto what = result->wait == Wait::validation ? Polling::For::validation
                      : result->wait == Wait::people   ? Polling::For::people
                                                       : Polling::For::issuance;
    polling_.begin(what, machine_->record().challenges.size(), now);
    if (result->retry_after && what != Polling::For::validation) polling_.polled(result->retry_after, now);
  }
  polling_.saw(parts_.hits(job_), now);
  const Time next = polling_.next(seat_->budget->experience(), parts_.random());
  if (next - now > place_is_kept) end_place();
  show(std::string("order: ") + to_string(after), next, "asking the CA again");
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
  auto facts = leaf_facts(issued_->leaf);
  auto published = facts ? parts_.publish(certificate_, std::move(pair), record.issuer) : Result<Done>(facts.error());
  if (!published && published.error().kind != ErrorKind::issuer_refused) return step_failed(published.error(), now);
  if (!published) {
    issued_.reset();
    if (auto given_up = machine_->give_up(published.error()); !given_up) return step_failed(given_up.error(), now);
    return {now};
  }
  const auto lifetime = std::chrono::duration_cast<std::chrono::seconds>(facts->not_after - facts->not_before);
  pace_.remember_issue(certificate_.identifiers, {now, lifetime});
  pace_.failure.reset();
  pace_.next_attempt = Time();
  pace_.issuer_failures = 0;
  static_cast<void>(parts_.paces.save(certificate_.name, key_.algorithm, pace_).has_value());
  clean_up(record);
  // When this write fails the record says `valid` still; who reads it finds the key in the newest bundle.
  static_cast<void>(machine_->published().has_value());
  known_ = machine_->record().known;
  {
    const std::lock_guard lock(mutex_);
    requested_ = forced_ = false;
    announce_ = true;
    view_.failure.reset();
  }
  end_order();
  return consider(parts_.clock.now());
}

// --- failures ---

Workers::Again Renewal::step_failed(const Error& error, Time now) {
  const bool open = machine_ && (is_open(machine_->state()) || issued_);
  if (error.kind == ErrorKind::connection && seat_) {
    if (seat_->budget->failed(job_, now, parts_.random())) {
      tell("issuer_unreachable", LogLevel::error, "the issuer cannot be reached, one order in turn tries: " + error.message);
    }
  }
  if (!open) {
    if (machine_) known_ = machine_->record().known;
    return order_failed(error, now);
  }
  const Time at = note_failure(error, now);
  retry_at_ = at;
  if (at - now > place_is_kept) end_place();
  tell(error.kind == ErrorKind::action_required ? "action_required" : "renewal_failed", LogLevel::warn,
       "the step failed and will be tried again: " + error.message,
       {{"kind", to_string(error.kind)}, {"retry_at", to_rfc3339(at)}, {"step", to_string(machine_->state())}});
  show("", at, "another try after: " + error.message);
  return {at};
}

Workers::Again Renewal::order_failed(const Error& error, Time now) {
  choose_issuer(error);
  Time at = note_failure(error, now);
  // What the configuration has changed is ordered anew at once.
  if (error.kind == ErrorKind::configuration && machine_ && machine_->state() == OrderState::failed) {
    at = now;
    pace_.next_attempt = Time();
    pace_.failure.reset();
  }
  if (machine_) known_ = machine_->record().known;
  end_order();
  {
    const std::lock_guard lock(mutex_);
    requested_ = forced_ = false;
  }
  const bool person = error.kind == ErrorKind::action_required || error.kind == ErrorKind::configuration;
  if (at > now) {
    tell(
        person ? "action_required" : "renewal_failed", person ? LogLevel::error : LogLevel::warn, error.message,
        {{"kind", to_string(error.kind)}, {"retry_at", to_rfc3339(at)}, {"failures", std::to_string(pace_.failure->in_a_row)}});
  }
  show("", at, "another try after: " + error.message);
  return {at};
}

Time Renewal::note_failure(const Error& error, Time now) {
  if (!pace_.failure) pace_.failure = Pace::Failure{error.kind, "", now, 0};
  if (pace_.failure->kind != error.kind) pace_.failure->in_a_row = 0;
  pace_.failure->kind = error.kind;
  pace_.failure->message = error.message;
  ++pace_.failure->in_a_row;
  const double left = share_left(now);
  bool emergency = false;
  {
    const std::lock_guard lock(mutex_);
    emergency = installed_ && is_emergency(installed_->lifetime, now);
  }
  const auto pause = backoff_pause({error, pace_.failure->in_a_row, left, emergency, parts_.random()});
  pace_.next_attempt = now + pause;
  static_cast<void>(parts_.paces.save(certificate_.name, key_.algorithm, pace_).has_value());
  const std::lock_guard lock(mutex_);
  view_.failure = pace_.failure;
  return pace_.next_attempt;
}

void Renewal::choose_issuer(const Error& error) {
  if (certificate_.issuers.size() < 2) return;
  const Time now = parts_.clock.now();
  const bool elsewhere = error.kind == ErrorKind::rate_limited || problem_word(error) == "caa";
  const bool long_since = pace_.failure && now - pace_.failure->since > std::chrono::hours(24);
  const double left = share_left(now);
  bool never = false;
  {
    const std::lock_guard lock(mutex_);
    never = !installed_;
  }
  const bool hurry = !never && left < try_every_issuer_below;
  if (++pace_.issuer_failures < failures_before_next_issuer && !elsewhere && !long_since && !hurry) return;
  pace_.issuer_index = static_cast<unsigned>((pace_.issuer_index + 1) % certificate_.issuers.size());
  pace_.issuer_failures = 0;
}

// The solver keeps answers open for a while: a CA asks from several places, and not all at once.
void Renewal::clean_up(const OrderRecord& record) {
  for (const auto& challenge : record.challenges) static_cast<void>(seat_->solver->clean_up(challenge).has_value());
}

void Renewal::end_place() {
  if (!has_place_ || !seat_) return;
  has_place_ = false;
  if (auto next = seat_->budget->release(job_)) parts_.poke(*next);
}

void Renewal::end_order() {
  end_place();
  parts_.watch_hits(job_, {});
  machine_.reset();
  issued_.reset();
  polling_.end();
  retry_at_.reset();
  const std::lock_guard lock(mutex_);
  view_.order.reset();
}

// --- from outside ---

void Renewal::installed(std::optional<Installed> what) {
  const std::lock_guard lock(mutex_);
  installed_ = what;
  announce_ = true;
}

void Renewal::hold(const Error& why) {
  {
    const std::lock_guard lock(mutex_);
    if (held_ && held_->message == why.message) return;
    held_ = why;
    view_.held = true;
    view_.failure = Pace::Failure{why.kind, why.message, parts_.clock.now(), 1};
    view_.next.reset();
    view_.now.clear();
  }
  tell("action_required", LogLevel::error, why.message, {{"kind", to_string(why.kind)}});
}

void Renewal::leave() {
  std::shared_ptr<Budget> budget;
  {
    const std::lock_guard lock(mutex_);
    budget = budget_;
  }
  if (!budget) return;
  if (auto next = budget->forget(job_)) parts_.poke(*next);
}

std::optional<std::string> Renewal::request(bool force) {
  const std::lock_guard lock(mutex_);
  if (held_) return held_->message;
  if (!force) {
    const Time now = parts_.clock.now();
    if (const auto until = guarded_until(issues_, now)) {
      return certificate_.name + " was issued a short while ago; the guard against renewing too often ends at " +
             to_rfc3339(*until) + " (--force overrides it)";
    }
  }
  requested_ = true;
  forced_ = force;
  return std::nullopt;
}

RenewalView Renewal::view() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

void Renewal::show(const std::string& now_text, std::optional<Time> next, const std::string& why) {
  const std::lock_guard lock(mutex_);
  view_.now = now_text;
  view_.next = next;
  view_.why = why;
  if (seat_) budget_ = seat_->budget;
  view_.issuer = seat_ ? seat_->issuer->spec().name : certificate_.issuers.front();
  view_.order.reset();
  if (machine_) {
    const auto& record = machine_->record();
    view_.order = record.state;
    view_.reference = record.order ? record.order->reference : "";
    view_.order_since = record.history.empty() ? parts_.clock.now() : record.history.front().at;
  }
}

void Renewal::tell(const char* name, LogLevel level, const std::string& sentence,
                   std::vector<std::pair<std::string, std::string>> fields) {
  Event event;
  event.name = name;
  event.level = level;
  event.at = parts_.clock.now();
  event.certificate = certificate_.name;
  event.issuer = seat_ ? seat_->issuer->spec().name : "";
  event.sentence = sentence;
  event.fields = std::move(fields);
  event.fields.emplace_back("key", key_.text());
  parts_.events.tell(std::move(event));
}

}  // namespace evercert
