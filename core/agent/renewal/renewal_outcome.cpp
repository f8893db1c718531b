// What a renewal does after a failure, and what others may ask and see of it.
#include <algorithm>

#include "agent/observe/remedies.h"
#include "agent/observe/status_report.h"
#include "agent/renewal/backoff.h"
#include "agent/renewal/renewal.h"
#include "evercert/text.h"

namespace evercert {
namespace {

constexpr unsigned failures_before_next_issuer = 3;
// A limit that ends sooner is waited for.
constexpr std::chrono::minutes long_wait{10};
constexpr double try_every_issuer_below = 1.0 / 6;
constexpr std::chrono::minutes longest_put_off{10};
// One that forgets more often than this is to be spared like any other that fails.
constexpr std::chrono::hours forgetting_is_forgiven{1};

Budget::Failure failure_of(const Error& error) {
  const std::string word = problem_word(error);
  if (word == "unreachable") return Budget::Failure::unreachable;
  return word == "silent" ? Budget::Failure::silence : Budget::Failure::answer;
}

bool has_type(const Error& error, const char* type) {
  return error.problem && error.problem->type == type;
}

bool is_answer(ErrorKind kind) {
  return kind == ErrorKind::issuer_refused || kind == ErrorKind::rate_limited || kind == ErrorKind::challenge_failed;
}

}  // namespace

// --- failures ---

// Where nobody else can be asked, a CA that cannot be reached at all would not know the next order sooner than this one.
bool Renewal::is_fault_of_the_ca(const Error& error) const {
  if (error.kind == ErrorKind::internal || is_answer(error.kind)) return true;
  if (error.kind != ErrorKind::connection) return false;
  return certificate_.issuers.size() > 1 || failure_of(error) != Budget::Failure::unreachable;
}

Workers::Again Renewal::step_failed(const Error& error, Time now) {
  // Where nothing was sent there is nothing to keep but time: key and request are as good for the next try.
  const bool unsent = machine_ && machine_->state() == OrderState::planned && problem_word(error) == "unreachable";
  const bool open = machine_ && (is_open(machine_->state()) || issued_ || (unsent && certificate_.issuers.size() < 2));
  std::optional<Time> probe;
  if (access_ && error.kind == ErrorKind::connection) {
    if (access_->budget->failed(job_, now, parts_.random(), failure_of(error))) {
      tell("issuer_unreachable", LogLevel::error, "the issuer cannot be reached, one order in turn tries: " + error.message);
    }
    if (!error.retry_after) probe = access_->budget->next_probe();
  } else if (access_ && is_answer(error.kind)) {
    reached(now);
  } else if (access_) {
    access_->budget->pass(job_, now);
  }
  if (!open) {
    if (machine_) known_ = machine_->record().known;
    // An order that has ended has ended by what the CA said of it, also where that could not be written.
    const bool ended = machine_ && machine_->state() == OrderState::failed && machine_->record().problem;
    const Error why = ended ? *machine_->record().problem : error;
    return order_failed(why, now);
  }
  if (is_fault_of_the_ca(error) && !is_paid() && is_stuck(now)) return give_up_stuck(now);
  const Time at = note_failure(error, now, probe);
  retry_at_ = at;
  waits_for_probe_ = probe.has_value();
  if (at - now > place_is_kept) end_place();
  tell(error.kind == ErrorKind::action_required ? "action_required" : "renewal_failed", LogLevel::warn,
       "the step failed and will be tried again: " + error.message,
       {{"kind", to_string(error.kind)}, {"retry_at", to_rfc3339(at)}, {"step", to_string(machine_->state())}});
  show("", at, "another try");
  return {at};
}

Workers::Again Renewal::keep_until(Time begins, Time now) {
  // Looked at in between, since clocks are set right.
  constexpr std::chrono::hours look_again{1};
  if (!machine_->record().issued) {
    if (auto kept = machine_->keep(*issued_); !kept) return step_failed(kept.error(), now);
  }
  const Time at = std::min<Time>(begins, now + look_again);
  retry_at_ = at;
  end_place();
  const std::string sentence = "the issued certificate is not valid before " + to_rfc3339(begins + begin_tolerance) +
                               " by this machine's clock, which may be slow; it is kept, and served from then on";
  if (!std::exchange(begin_told_, true)) {
    tell("issued_not_valid_yet", LogLevel::warn, sentence, {{"retry_at", to_rfc3339(begins)}});
  }
  show("waits: " + sentence, begins, "the issued certificate begins");
  const std::lock_guard lock(mutex_);
  view_.waits_for_begin = true;
  return {at};
}

Workers::Again Renewal::keep_for(const std::string& name, Time now) {
  constexpr std::chrono::seconds look_again{1};
  if (!machine_->record().issued) {
    if (auto kept = machine_->keep(*issued_); !kept) return step_failed(kept.error(), now);
  }
  // Whoever gets the name pokes this job.
  retry_at_.reset();
  end_place();
  const std::string sentence = "the issued certificate has no " + name +
                               " any more, which another certificate wants and does not have yet: what is there serves it "
                               "until then, and the new one follows (renew --force does not wait)";
  show("waits: " + sentence, std::nullopt, "");
  {
    const std::lock_guard lock(mutex_);
    view_.waits_for_begin = true;
  }
  if (!std::exchange(lent_told_, true)) tell("issued_waits", LogLevel::notice, sentence, {{"name", name}});
  return {now + look_again};
}

// The same order again may do better once; then a person is asked. What is paid for is never ordered again by itself: the order
// stays as it is, for whoever looks into it.
Workers::Again Renewal::not_usable(Error why, Time now) {
  ++pace_.unusable;
  if (is_paid()) {
    why.kind = ErrorKind::action_required;
    why.message += "; nothing is ordered again by itself: ask the CA for another one, or cancel the order and renew";
    return step_failed(why, now);
  }
  if (pace_.unusable > 1) {
    why.kind = ErrorKind::action_required;
    why.message +=
        "; this came " + std::to_string(pace_.unusable) + " times in a row: ask the CA why; one order a day tries again";
  }
  issued_.reset();
  if (auto given_up = machine_->give_up(why); !given_up) return step_failed(given_up.error(), now);
  return {now};
}

bool Renewal::is_patient(const Error& error, Time now) {
  if (!is_waiting(error)) return false;
  if (put_off_since_ == Time()) put_off_since_ = now;
  // A clock that was set back makes nobody wait longer.
  return now - put_off_since_ < longest_put_off && now >= put_off_since_;
}

Workers::Again Renewal::put_off(const Error& error, Time now) {
  access_->budget->pass(job_, now);
  const Time at = now + std::max(error.retry_after.value_or(std::chrono::seconds(1)), std::chrono::seconds(1));
  retry_at_ = at;
  if (at - now > place_is_kept) end_place();
  show(std::string("order: ") + to_string(machine_->state()), at, error.message);
  return {at};
}

void Renewal::reached(Time now) {
  const auto back = access_->budget->succeeded(job_, now);
  if (back.closed_now) tell("issuer_back", LogLevel::notice, "the issuer can be reached again");
  for (const auto& job : back.waiting) parts_.poke(job);
}

// The CA was set up anew or lost its memory: what is gone there needs no pause and no other issuer, once.
Workers::Again Renewal::order_again(const Error& error, Time now) {
  pace_.forgotten_at = now;
  pace_.next_attempt = Time();
  save_pace();
  known_ = machine_->record().known;
  end_order();
  tell("order_forgotten", LogLevel::warn, "the CA has forgotten the order, another one is placed: " + error.message);
  show("", now, "the CA has forgotten the order before");
  return {now};
}

Workers::Again Renewal::order_failed(const Error& error, Time now) {
  if (machine_ && is_forgotten(error) && now - pace_.forgotten_at > forgetting_is_forgiven) return order_again(error, now);
  const auto& issuers = certificate_.issuers;
  const std::string asked = issuers[pace_.issuer_index % issuers.size()];
  const bool moves = choose_issuer(error);
  Time at = note_failure(error, now);
  // What the configuration has changed is ordered anew at once.
  if (error.kind == ErrorKind::configuration && machine_ && machine_->state() == OrderState::failed) {
    at = now;
    pace_.next_attempt = Time();
    pace_.failure.reset();
  }
  if (machine_) known_ = machine_->record().known;
  // What the CA refused may be the request.
  keep_unplaced(error.kind != ErrorKind::issuer_refused);
  end_order();
  {
    const std::lock_guard lock(mutex_);
    // What a person asked for is asked of the next issuer, too.
    if (!moves) requested_ = forced_ = false;
  }
  if (moves) {
    const std::string next = issuers[pace_.issuer_index % issuers.size()];
    at = move_on(asked, error, now);
    show("", at, "ordered from " + next + ", since " + asked + " failed: " + error.message);
    return {at};
  }
  const bool person = error.kind == ErrorKind::action_required || error.kind == ErrorKind::configuration;
  if (at > now) {
    tell(
        person ? "action_required" : "renewal_failed", person ? LogLevel::error : LogLevel::warn, error.message,
        {{"kind", to_string(error.kind)}, {"retry_at", to_rfc3339(at)}, {"failures", std::to_string(pace_.failure->in_a_row)}});
  }
  if (pace_.failure && pace_.failure->until_asked) {
    show("nothing is ordered before somebody asks for it", std::nullopt, error.message);
    return {};
  }
  show("", at, "another try");
  return {at};
}

Time Renewal::note_failure(const Error& error, Time now, std::optional<Time> probe) {
  if (!pace_.failure) pace_.failure = Pace::Failure{error.kind, "", has_type(error, order_stuck) ? begun_ : now, 0};
  const std::string message = printable(error.message, longest_sentence);
  if (pace_.failure->kind != error.kind || pace_.failure->message != message) pace_.failure->said_since = now;
  pace_.failure->kind = error.kind;
  pace_.failure->message = message;
  pace_.failure->in_a_row = ++pace_.failure->rows[error.kind];
  pace_.failure->remedy = remedy_of(error);
  // Who cancelled an order does not want it back because an option has changed.
  pace_.failure->options = access_ && !has_type(error, order_cancelled) ? options_of(*access_) : "";
  pace_.failure->lost = has_type(error, order_lost);
  pace_.failure->until_asked = pace_.failure->lost || has_type(error, order_cancelled) || has_type(error, order_rejected);
  const double left = share_left(now);
  bool emergency = false;
  {
    const std::lock_guard lock(mutex_);
    emergency = installed_ && is_emergency(installed_->lifetime, now);
  }
  const auto pause = backoff_pause({error, pace_.failure->in_a_row, left, emergency, parts_.random()});
  pace_.next_attempt = probe ? *probe : now + pause;
  if (const auto until = note_validation(error, now)) pace_.next_attempt = std::max(pace_.next_attempt, *until);
  save_pace();
  const std::lock_guard lock(mutex_);
  view_.failure = pace_.failure;
  return pace_.next_attempt;
}

std::vector<std::string> Renewal::names() const {
  std::vector<std::string> names;
  for (const auto& identifier : certificate_.identifiers) names.push_back(identifier.value);
  return names;
}

std::optional<Time> Renewal::note_validation(const Error& error, Time now) {
  if (error.kind != ErrorKind::challenge_failed || !access_) return std::nullopt;
  const auto ours = names();
  std::vector<std::string> failed;
  // Only names of ours: what a CA calls a name goes nowhere else.
  for (const auto& name : ours) {
    const bool told = error.problem && std::any_of(error.problem->subproblems.begin(), error.problem->subproblems.end(),
                                                   [&](const auto& sub) { return sub.identifier == name; });
    if (told) failed.push_back(name);
  }
  const std::string& uri = access_->issuer->spec().uri;
  static_cast<void>(parts_.validations.failed(uri, failed.empty() ? ours : failed, now).has_value());
  return parts_.validations.blocked_until(uri, ours, now);
}

bool Renewal::proves_by_dns() const {
  if (!access_) return false;
  const auto kind = access_->issuer->spec().challenge;
  return kind == ChallengeKind::dns_01 || kind == ChallengeKind::dns_txt || kind == ChallengeKind::dns_cname;
}

std::string Renewal::remedy_of(const Error& error) const {
  return remedy_for(trouble_of(error, proves_by_dns(), access_ ? access_->issuer->spec().http_port : 80));
}

bool Renewal::choose_issuer(const Error& error) {
  if (certificate_.issuers.size() < 2) return false;
  const Time now = parts_.clock.now();
  if (has_type(error, order_cancelled)) return false;
  const bool limited = error.kind == ErrorKind::rate_limited && error.retry_after.value_or(long_wait) >= long_wait;
  // What waits for a person there can be had elsewhere meanwhile.
  const bool person = error.kind == ErrorKind::action_required || error.kind == ErrorKind::configuration;
  const bool elsewhere = limited || person || problem_word(error) == "caa" || has_type(error, order_stuck);
  const bool long_since = pace_.failure && now - pace_.failure->since > std::chrono::hours(24);
  const double left = share_left(now);
  bool never = false;
  {
    const std::lock_guard lock(mutex_);
    never = !installed_;
  }
  const bool hurry = !never && left < try_every_issuer_below;
  if (++pace_.issuer_failures < failures_before_next_issuer && !elsewhere && !long_since && !hurry) return false;
  pace_.issuer_index = static_cast<unsigned>((pace_.issuer_index + 1) % certificate_.issuers.size());
  pace_.issuer_failures = 0;
  return true;
}

Time Renewal::move_on(const std::string& left, const Error& error, Time now) {
  const auto& issuers = certificate_.issuers;
  const std::string next = issuers[pace_.issuer_index % issuers.size()];
  const auto shown = pace_.failure;
  // Others may have found out that it is gone: then nothing failed here before.
  const std::string remedy = remedy_of(error);
  pace_.set_aside[left] = {shown.value_or(Pace::Failure{error.kind, error.message, now, 0, "", {}, remedy, false, now}),
                           pace_.next_attempt};
  const auto known = pace_.set_aside.extract(next);
  pace_.failure = known ? known.mapped().failure : std::nullopt;
  pace_.next_attempt = known ? known.mapped().next_attempt : Time();
  save_pace();
  const Time at = std::max(now, pace_.next_attempt);
  tell("issuer_changed", LogLevel::warn, "ordered from " + next + " from now on; " + left + " failed: " + error.message,
       {{"kind", to_string(error.kind)}, {"from", left}, {"to", next}, {"retry_at", to_rfc3339(at)}});
  const std::lock_guard lock(mutex_);
  view_.failure = shown;
  return at;
}

bool Renewal::is_corrected() {
  if (!pace_.failure || pace_.failure->options.empty()) return false;
  const auto access = parts_.access(asks());
  if (!access || options_of(*access) == pace_.failure->options) return false;
  // What a CA counts it goes on counting, whatever is configured; another CA counts anew.
  const auto kind = pace_.failure->kind;
  const bool counted = kind == ErrorKind::rate_limited || kind == ErrorKind::challenge_failed;
  return !counted || !pace_.failure->options.starts_with(access->issuer->spec().uri + " ");
}

std::string Renewal::options_of(const IssuerAccess& access) const {
  std::string text = access.issuer->spec().uri + " " + access.options;
  for (const auto& identifier : certificate_.identifiers) text += " " + identifier.value;
  return text;
}

// The process before us published and ended before it wrote so down: the guard must know of it all the same.
void Renewal::remember_published() {
  const auto& history = machine_->record().history;
  // The configuration may want other names by now.
  const auto& ordered = machine_->record().identifiers;
  if (history.empty()) return;
  const Time at = history.back().at;
  std::optional<Installed> installed;
  {
    const std::lock_guard lock(mutex_);
    installed = installed_;
  }
  const auto known = pace_.issues_for(ordered);
  const bool remembered = std::any_of(known.begin(), known.end(), [&](const Issue& issue) { return issue.at >= at; });
  if (!installed || remembered) return;
  pace_.remember_issue(ordered, {at, std::chrono::duration_cast<std::chrono::seconds>(installed->lifetime.length())});
  pace_.failure.reset();
  pace_.next_attempt = pace_.forgotten_at = Time();
  save_pace();
}

void Renewal::look_for_hits(Time now) {
  const std::uint32_t hits = parts_.hits(job_);
  polling_.saw(hits, now);
  if (hits == 0 || std::exchange(hits_told_, true)) return;
  tell("challenge_seen", LogLevel::info, "the CA asks for the challenges of " + certificate_.name);
}

// The solver keeps answers open for a while: a CA asks from several places, and not all at once.
void Renewal::clean_up(const OrderRecord& record) {
  for (const auto& challenge : record.challenges) static_cast<void>(access_->solver->clean_up(challenge).has_value());
}

void Renewal::end_place() {
  if (!has_place_ || !access_) return;
  has_place_ = false;
  if (auto next = access_->budget->release(job_)) parts_.poke(*next);
}

void Renewal::keep_unplaced(bool again) {
  if (!machine_ || !machine_->record().is_doubtful()) return;
  unplaced_ = machine_->record();
  if (again) return;
  unplaced_->private_key.wipe();
  unplaced_->key_reference.clear();
  unplaced_->request.clear();
}

void Renewal::end_order() {
  end_place();
  parts_.watch_hits(job_, {});
  machine_.reset();
  issued_.reset();
  in_doubt_ = false;
  begin_told_ = lent_told_ = false;
  people_.reset();
  overdue_since_.reset();
  polling_.end();
  retry_at_.reset();
  bool too_late = false;
  {
    const std::lock_guard lock(mutex_);
    too_late = std::exchange(cancelled_, false);
    view_.order.reset();
  }
  if (too_late)
    tell("cancel_too_late", LogLevel::notice,
         "the order for " + certificate_.name + " had come to its end before it could be cancelled");
}

// --- from outside ---

void Renewal::installed(std::optional<Installed> what) {
  const std::lock_guard lock(mutex_);
  // Our own order's certificate may be served before our step ends: from now on the order is over for whoever looks.
  const bool newer = what && (!installed_ || what->generation > installed_->generation);
  if (newer && view_.order == OrderState::valid) {
    view_.order.reset();
    view_.failure.reset();
    view_.now.clear();
  }
  installed_ = what;
  if (!announce_) announce_ = LogLevel::info;
}

void Renewal::hold(const Error& why) {
  {
    const std::lock_guard lock(mutex_);
    if (held_ && held_->message == why.message) return;
    held_ = why;
    view_.held = true;
    const Time now = parts_.clock.now();
    view_.failure = Pace::Failure{why.kind, why.message, now, 1, "", {}, remedy_for("held"), false, now};
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

std::optional<Renewal::Refusal> Renewal::request(bool force) {
  const std::lock_guard lock(mutex_);
  if (held_) return Refusal{held_->message};
  if (!force) {
    const Time now = parts_.clock.now();
    if (const auto until = parts_.validations.blocked_until(asked_uri_, names(), now)) {
      return Refusal{"a name of " + certificate_.name + " could not be validated " +
                     std::to_string(failed_validations_an_hour) +
                     " times within an hour, as often as CAs allow; the next try is possible at " + to_rfc3339(*until) +
                     " (--force overrides this)"};
    }
    // The guard after a success is no answer where what came last was no certificate, or is not to be trusted any more.
    const bool unsettled = view_.failure || view_.order || !view_.set_aside.empty();
    if (const auto until = guarded(issues_, installed_, unsettled, now)) {
      if (installed_ && !installed_->revoked && !unsettled) {
        return Refusal{certificate_.name + " was issued a short while ago; the guard against renewing too often ends at " +
                           to_rfc3339(*until),
                       true};
      }
      if (!view_.order) {
        return Refusal{certificate_.name +
                       " was issued several times within a day; the guard against renewing too often ends at " +
                       to_rfc3339(*until) + " (--force overrides this)"};
      }
    }
  }
  requested_ = ask_now_ = tell_people_ = true;
  ++requests_;
  forced_ = force;
  return std::nullopt;
}

std::optional<std::string> Renewal::take_over(OrderRecord record) {
  const std::lock_guard lock(mutex_);
  if (held_) return held_->message;
  if (view_.order || given_) return certificate_.name + " has another open order";
  given_ = std::move(record);
  return std::nullopt;
}

std::optional<std::string> Renewal::cancel() {
  const std::lock_guard lock(mutex_);
  if (!view_.order) return certificate_.name + " has no open order";
  cancelled_ = ask_now_ = true;
  return std::nullopt;
}

RenewalView Renewal::view() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

void Renewal::show(const std::string& now_text, std::optional<Time> next, const std::string& why) {
  const std::lock_guard lock(mutex_);
  view_.now = now_text;
  view_.waits_for_begin = false;
  view_.next = next;
  view_.why = why;
  view_.set_aside = pace_.set_aside;
  if (access_) budget_ = access_->budget;
  view_.issuer = access_ ? access_->issuer->spec().name : certificate_.issuers.front();
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
  event.issuer = access_ ? access_->issuer->spec().name : "";
  event.sentence = sentence;
  event.fields = std::move(fields);
  event.fields.emplace_back("key", key_.text());
  parts_.events.tell(std::move(event));
}

}  // namespace evercert
