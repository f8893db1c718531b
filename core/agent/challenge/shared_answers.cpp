#include "agent/challenge/shared_answers.h"

namespace evercert {

void SharedAnswers::joined(const std::string& follower) {
  const std::lock_guard lock(mutex_);
  followers_.insert(follower);
}

void SharedAnswers::left(const std::string& follower) {
  const std::lock_guard lock(mutex_);
  followers_.erase(follower);
  for (auto& [token, missing] : awaited_) missing.erase(follower);
  changed_.notify_all();
}

void SharedAnswers::shown(const std::string& follower, const std::string& token) {
  const std::lock_guard lock(mutex_);
  const auto [first, last] = awaited_.equal_range(token);
  for (auto each = first; each != last; ++each) each->second.erase(follower);
  changed_.notify_all();
}

Result<Done> SharedAnswers::put(const OpenAnswer& answer) {
  std::unique_lock lock(mutex_);
  const auto mine = awaited_.emplace(answer.token, followers_);
  lock.unlock();
  auto stored = store_.put(answer);
  lock.lock();
  if (stored) changed_.wait_for(lock, stop_, patience_, [&] { return mine->second.empty(); });
  awaited_.erase(mine);
  return stored;
}

}  // namespace evercert
