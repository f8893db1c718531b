#include "agent/run/hit_watch.h"

namespace evercert {

void HitWatch::watch(const std::string& job, const std::vector<Challenge>& challenges) {
  const std::lock_guard lock(mutex_);
  watched_.erase(job);
  Watched fresh;
  for (const auto& challenge : challenges) {
    const auto answer = board_.find_answer(challenge.kind, challenge.token);
    if (answer) fresh.slots.push_back(answer->slot);
  }
  if (fresh.slots.empty()) return;
  fresh.before = count(fresh);
  watched_.emplace(job, std::move(fresh));
}

std::uint32_t HitWatch::count(const Watched& watched) const {
  std::uint32_t sum = 0;
  for (const auto slot : watched.slots) sum += report_.hits(slot);
  return sum;
}

std::uint32_t HitWatch::hits(const std::string& job) const {
  const std::lock_guard lock(mutex_);
  const auto found = watched_.find(job);
  return found == watched_.end() ? 0 : count(found->second) - found->second.before;
}

std::vector<std::string> HitWatch::risen() {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> jobs;
  for (auto& [job, watched] : watched_) {
    const std::uint32_t seen = count(watched) - watched.before;
    if (seen == watched.told) continue;
    watched.told = seen;
    jobs.push_back(job);
  }
  return jobs;
}

}  // namespace evercert
