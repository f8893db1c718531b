#include "agent/renewal/budget.h"

#include "agent/renewal/backoff.h"

namespace evercert {
namespace {
constexpr std::size_t failures_that_open = 5;
constexpr std::chrono::minutes failure_window{1};
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
  if (probe_.empty() && now >= probe_at_) {
    probe_ = job;
    blocked_.erase(job);
    return std::nullopt;
  }
  blocked_.insert(job);
  // While a probe is on its way nobody else asks; the time-out of a request bounds that.
  return probe_.empty() ? probe_at_ : now + std::chrono::seconds(30);
}

bool Budget::failed(const std::string& job, Time now, double random) {
  const std::lock_guard lock(mutex_);
  if (open_) {
    if (probe_ == job || probe_.empty()) {
      probe_.clear();
      const Error lost{ErrorKind::connection, ""};
      probe_at_ = now + backoff_pause({lost, ++probes_failed_, 0, false, random});
    }
    return false;
  }
  failures_.push_back(now);
  while (!failures_.empty() && failures_.front() + failure_window < now) failures_.pop_front();
  if (failures_.size() < failures_that_open) return false;
  failures_.clear();
  open_ = true;
  probe_.clear();
  probes_failed_ = 1;
  const Error lost{ErrorKind::connection, ""};
  probe_at_ = now + backoff_pause({lost, 1, 0, false, random});
  return true;
}

Budget::Back Budget::succeeded(const std::string& job) {
  const std::lock_guard lock(mutex_);
  if (probe_ == job) probe_.clear();
  failures_.clear();
  if (!open_) return {};
  open_ = false;
  probe_.clear();
  Back back{true, {blocked_.begin(), blocked_.end()}};
  blocked_.clear();
  return back;
}

bool Budget::is_open() const {
  const std::lock_guard lock(mutex_);
  return open_;
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
