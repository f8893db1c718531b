#include "agent/renewal/budget.h"

#include <algorithm>
#include <array>
#include <utility>

#include "serving/base/bounds.h"

namespace evercert {
namespace {
constexpr std::size_t failures_that_open = 5;
constexpr std::chrono::minutes failure_window{1};
// Each takes as long as its time-out, and a pause lies between two.
constexpr std::chrono::minutes silence_window{5};
constexpr std::chrono::minutes longest_probe_pause{10};

// One request for all orders costs the CA nothing, so it may come often: after an outage nobody waits longer than it took.
std::chrono::milliseconds probe_pause(unsigned failures, double random) {
  using std::chrono::seconds;
  constexpr std::array<seconds, 9> row{seconds(1),  seconds(2),  seconds(4),   seconds(8),  seconds(15),
                                       seconds(30), seconds(60), seconds(120), seconds(300)};
  const std::chrono::milliseconds pause = row[std::min<std::size_t>(failures > 0 ? failures - 1 : 0, row.size() - 1)];
  return std::chrono::milliseconds(
      static_cast<std::chrono::milliseconds::rep>(static_cast<double>(pause.count()) * (0.75 + 0.5 * random)));
}
}  // namespace

bool Budget::take(const std::string& job, double urgency) {
  const std::lock_guard lock(mutex_);
  if (holders_.contains(job)) return true;
  if (holders_.size() < max_orders_) {
    holders_.insert(job);
    std::erase_if(queue_, [&](const auto& entry) { return entry.second == job; });
    return true;
  }
  for (const auto& [rank, waiting] : queue_) {
    if (waiting == job) return false;
  }
  queue_.emplace(urgency, job);
  return false;
}

void Budget::occupy(const std::string& job) {
  const std::lock_guard lock(mutex_);
  holders_.insert(job);
}

std::optional<std::string> Budget::release(const std::string& job) {
  const std::lock_guard lock(mutex_);
  holders_.erase(job);
  if (queue_.empty() || holders_.size() >= max_orders_) return std::nullopt;
  std::string next = queue_.begin()->second;
  queue_.erase(queue_.begin());
  // Its place is kept for it, so that a newcomer cannot overtake.
  holders_.insert(next);
  return next;
}

std::optional<std::string> Budget::forget(const std::string& job) {
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(queue_, [&](const auto& entry) { return entry.second == job; });
    blocked_.erase(job);
    if (probe_ == job) probe_.clear();
    if (!holders_.contains(job)) return std::nullopt;
  }
  return release(job);
}

std::optional<Time> Budget::blocked_until(const std::string& job, Time now) {
  const std::lock_guard lock(mutex_);
  if (!open_ || probe_ == job) return std::nullopt;
  if (!is_still_ahead(probe_at_, now, longest_probe_pause)) probe_at_ = std::min(probe_at_, now);
  if (probe_.empty() && now >= probe_at_) {
    probe_ = job;
    blocked_.erase(job);
    return std::nullopt;
  }
  blocked_.insert(job);
  // While a probe is on its way nobody else asks; the time-out of a request bounds that.
  return probe_.empty() ? probe_at_ : now + std::chrono::seconds(30);
}

bool Budget::failed(const std::string& job, Time now, double random, Failure failure) {
  const std::lock_guard lock(mutex_);
  if (open_) {
    blocked_.insert(job);
    // Others that were on their way when it opened tell nothing new.
    if (probe_ == job) {
      probe_.clear();
      probe_at_ = now + probe_pause(++probes_failed_, random);
    }
    return false;
  }
  failures_.push_back(now);
  std::erase_if(failures_, [&](Time at) { return at > now || at + failure_window < now; });
  const bool silent = failure == Failure::silence;
  const auto before = silent ? std::exchange(silent_at_, now) : std::nullopt;
  const bool silent_again = before && *before <= now && now - *before <= silence_window;
  if (failures_.size() < failures_that_open && failure != Failure::unreachable && !silent_again) return false;
  failures_.clear();
  silent_at_.reset();
  open_ = true;
  probe_.clear();
  blocked_.insert(job);
  // A CA that comes and goes is probed ever more rarely.
  if (closed_at_ > now || now - closed_at_ > failure_window) probes_failed_ = 0;
  probe_at_ = now + probe_pause(++probes_failed_, random);
  return true;
}

void Budget::pass(const std::string& job, Time now) {
  const std::lock_guard lock(mutex_);
  if (probe_ != job) return;
  probe_.clear();
  probe_at_ = now;
}

Budget::Back Budget::succeeded(const std::string& job, Time now) {
  const std::lock_guard lock(mutex_);
  if (probe_ == job) probe_.clear();
  failures_.clear();
  silent_at_.reset();
  if (!open_) return {};
  open_ = false;
  closed_at_ = now;
  probe_.clear();
  Back back{true, {blocked_.begin(), blocked_.end()}};
  blocked_.clear();
  return back;
}

std::optional<Time> Budget::next_probe() const {
  const std::lock_guard lock(mutex_);
  return open_ ? std::optional<Time>(probe_at_) : std::nullopt;
}

Experience Budget::experience() const {
  const std::lock_guard lock(mutex_);
  return experience_;
}

void Budget::learn_hits(std::uint32_t hits, std::size_t challenges) {
  if (challenges == 0 || hits == 0) return;
  const std::lock_guard lock(mutex_);
  experience_.hits_per_challenge = static_cast<std::uint32_t>(hits / challenges);
}

}  // namespace evercert
