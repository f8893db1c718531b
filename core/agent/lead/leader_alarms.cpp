// When something about a certificate is wrong enough to be an error in the server's log.
#include <algorithm>

#include "agent/lead/leader.h"

namespace evercert {
namespace {

// Fewer may be the CA's bad minute.
constexpr unsigned failures_that_alarm = 3;
constexpr std::chrono::hours longest_delay{24};

// A renewal may be a day late, or a tenth of a shorter life; so may an order take.
Time::duration delay_allowed(const std::optional<Lifetime>& lifetime) {
  return lifetime ? std::min<Time::duration>(longest_delay, lifetime->length() / 10) : longest_delay;
}

std::string end_of(const std::optional<Lifetime>& lifetime) {
  return lifetime ? "what is stored ends at " + to_rfc3339(lifetime->not_after) : "there is no certificate yet";
}

}  // namespace

void Leader::watch(const std::string& name) {
  publication_.watch_file(name);
  const auto current = publication_.current(name);
  watch_expiry(name, current);
  watch_renewal(name, current);
  const std::string issuer = current.issuer;
  if (current.not_served)
    alarms_.stands({name, issuer, "not_served", name + " is still not served: " + current.not_served->message}, true);
  else
    alarms_.over(name, "not_served", name + " is served, generation " + std::to_string(current.generation));
  if (current.held)
    alarms_.stands({name, issuer, "held", name + " is still held: " + (current.stored ? current.stored->message : "")}, true);
  else
    alarms_.over(name, "held", name + " is not held any more");
  if (current.stored && current.stored->kind == "older_generation")
    alarms_.stands({name, issuer, "older_generation", current.stored->message}, true);
  else
    alarms_.over(name, "older_generation",
                 name + " is as new as it should be: generation " + std::to_string(current.generation));
}

// The last twentieth of a life, and its end.
void Leader::watch_expiry(const std::string& name, const Publication::Current& current) {
  const Time now = context_.clock.now();
  const auto lifetime = current.lifetime();
  const bool expired = lifetime && lifetime->not_after <= now;
  const bool expiring = lifetime && !expired && is_emergency(*lifetime, now);
  const std::string at = lifetime ? to_rfc3339(lifetime->not_after) : "";
  if (expired) alarms_.stands({name, current.issuer, "expired", name + " has expired at " + at});
  if (expiring) alarms_.stands({name, current.issuer, "expiring", name + " is about to expire: it ends at " + at});
  const std::string over = name + " has a new certificate, which ends at " + at;
  if (!expired) alarms_.over(name, "expired", over);
  if (!expiring && !expired) alarms_.over(name, "expiring", over);
}

void Leader::watch_renewal(const std::string& name, const Publication::Current& current) {
  const Time now = context_.clock.now();
  const auto lifetime = current.lifetime();
  std::optional<Pace::Failure> failure;
  RenewalView view;
  std::optional<Time> begun;  // the oldest open order
  for (const auto& renewal : renewals_of(name)) {
    RenewalView one = renewal->view();
    if (one.order) begun = std::min(begun.value_or(one.order_since), one.order_since);
    if (one.failure && (!failure || one.failure->tries() > failure->tries())) failure = one.failure;
    if (!view.next && view.now.empty()) view = std::move(one);
  }
  // Without a certificate it was due when the first order began.
  const Time due = lifetime ? due_time(*lifetime, name, current.generation) : begun.value_or(now);
  const auto allowed = delay_allowed(lifetime);
  const bool late = now - due > allowed;
  const bool never = !lifetime && failure && now - failure->since > longest_delay;
  const std::string next = view.next ? "; the next try is at " + to_rfc3339(*view.next) : "";
  if (failure && (failure->tries() >= failures_that_alarm || late || never)) {
    alarms_.stands({name, view.issuer, "failing",
                    name + " is not renewed, it failed " + std::to_string(std::max(failure->tries(), 1U)) + " times since " +
                        to_rfc3339(failure->since) + next + "; " + end_of(lifetime) + "; last: " + failure->message});
    return;
  }
  const bool ordering = begun && now - *begun <= allowed;
  // A try that is under way has not succeeded yet.
  if (failure || ordering) return;
  if (late) {
    const std::string what = !view.now.empty() ? view.now : view.why;
    alarms_.stands({name, view.issuer, "late",
                    name + " should have been renewed at " + to_rfc3339(due) + (what.empty() ? "" : ": " + what) + next + "; " +
                        end_of(lifetime)});
    return;
  }
  if (begun) return;
  const std::string well = name + " is renewed: generation " + std::to_string(current.generation) + ", " + end_of(lifetime);
  alarms_.over(name, "failing", well);
  alarms_.over(name, "late", well);
}

void Leader::watch_all() {
  std::vector<std::string> names;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, renewals] : renewals_) names.push_back(name);
  }
  for (const auto& name : names) watch(name);
}

// What just happened to a certificate is looked at without waiting for the next round.
void Leader::watch_soon(const std::string& certificate) {
  {
    const std::lock_guard lock(mutex_);
    to_watch_.insert(certificate);
  }
  workers_->poke("alarms");
}

void Leader::watch_what_happens() {
  constexpr double after_orders = 2;
  workers_->add("alarms", after_orders, context_.clock.now(), [this]() -> Workers::Again {
    std::set<std::string> names;
    {
      const std::lock_guard lock(mutex_);
      names.swap(to_watch_);
    }
    for (const auto& name : names) watch(name);
    return {};
  });
}

}  // namespace evercert
