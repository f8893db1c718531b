// How long an order is waited for, and what people are told meanwhile.
#include <algorithm>

#include "agent/observe/remedies.h"
#include "agent/observe/status_report.h"
#include "agent/renewal/renewal.h"

namespace evercert {

void Renewal::count_from_beginning(Time now) {
  const auto& history = machine_->record().history;
  begun_ = history.empty() ? now : std::min(history.front().at, now);
}

Time Renewal::end_of_waiting() const {
  constexpr std::chrono::hours longest{24};
  constexpr std::chrono::hours shortest{1};
  Time::duration allowed = longest;
  {
    const std::lock_guard lock(mutex_);
    if (installed_) allowed = std::clamp<Time::duration>((installed_->lifetime.not_after - begun_) / 2, shortest, longest);
  }
  const auto& order = machine_->record().order;
  const Time end = begun_ + allowed;
  return order && order->expires ? std::min(end, *order->expires) : end;
}

// One look at a clock that may be wrong, or after a long sleep of ours, is not enough.
bool Renewal::is_stuck(Time now) {
  // What is paid for may have waited for people for days before.
  const std::chrono::minutes looked_at = is_paid() ? std::chrono::hours(12) : std::chrono::minutes(10);
  const auto& record = machine_->record();
  const bool waits = is_open(record.state) && record.state != OrderState::invalid && !record.issued && !issued_;
  if (!waits || now < end_of_waiting()) {
    overdue_since_.reset();
    return false;
  }
  if (!overdue_since_) overdue_since_ = now;
  return now - *overdue_since_ >= looked_at;
}

Workers::Again Renewal::give_up_stuck(Time now) {
  const auto problem = std::make_shared<const Problem>(Problem{order_stuck, "", "", {}});
  const Error why{ErrorKind::issuer_refused, stuck_sentence() + "; it is given up", std::nullopt, problem};
  tell("order_given_up", LogLevel::warn, why.message, {{"since", to_rfc3339(begun_)}});
  if (auto given_up = machine_->give_up(why); !given_up) return step_failed(given_up.error(), now);
  return take_step(now);
}

std::string Renewal::stuck_sentence() const {
  return "the CA has not let the order for " + certificate_.name + " come to its end since " + to_rfc3339(begun_) + ", it is " +
         to_string(machine_->record().state);
}

std::optional<std::string> Renewal::people_must(Wait wait, bool stuck) const {
  if (wait == Wait::people) {
    const auto& problem = machine_->record().problem;
    return problem ? problem->message : "somebody at the CA must act before it goes on";
  }
  if (!stuck || !is_paid()) return std::nullopt;
  return stuck_sentence() + "; it is paid for and stays open: ask the CA, or cancel it and renew";
}

void Renewal::note_people(const std::optional<std::string>& why, Time now) {
  constexpr std::chrono::hours between_reminders{24};
  if (!why && !people_) return;
  if (!why) {
    people_.reset();
    const std::lock_guard lock(mutex_);
    view_.failure = pace_.failure;
    return;
  }
  const auto& record = machine_->record();
  const std::string& message = *why;
  if (!people_ || people_->message != message) {
    const Time since = record.history.empty() ? now : record.history.back().at;
    people_ = Pace::Failure{ErrorKind::action_required, message, since, 1, "", {}, remedy_for("action_required"), false, since};
    people_told_ = Time();
  }
  bool asked = false;
  {
    const std::lock_guard lock(mutex_);
    asked = std::exchange(tell_people_, false);
  }
  if (asked || now - people_told_ >= between_reminders) {
    people_told_ = now;
    tell("action_required", LogLevel::warn, message, {{"kind", "action_required"}, {"since", to_rfc3339(people_->since)}});
  }
  const std::lock_guard lock(mutex_);
  view_.failure = people_;
}

}  // namespace evercert
