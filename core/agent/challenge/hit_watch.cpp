#include "agent/challenge/hit_watch.h"

#include <algorithm>

namespace evercert {

void HitWatch::watch(const std::string& job, const std::vector<Challenge>& challenges) {
  const std::lock_guard lock(mutex_);
  watched_.erase(job);
  Watched fresh;
  for (const auto& challenge : challenges) {
    const auto answer = board_.find_answer(challenge.kind, challenge.token);
    if (!answer) continue;
    fresh.slots.push_back(answer->slot);
    fresh.tokens.push_back(challenge.token);
  }
  if (fresh.slots.empty()) return;
  fresh.before = on_page(fresh);
  watched_.emplace(job, std::move(fresh));
}

std::uint32_t HitWatch::on_page(const Watched& watched) const {
  std::uint32_t sum = 0;
  for (const auto slot : watched.slots) sum += report_.hits(slot);
  return sum;
}

std::uint32_t HitWatch::seen(const Watched& watched) const {
  return on_page(watched) - watched.before + watched.elsewhere;
}

std::uint32_t HitWatch::hits(const std::string& job) const {
  const std::lock_guard lock(mutex_);
  const auto found = watched_.find(job);
  return found == watched_.end() ? 0 : seen(found->second);
}

void HitWatch::seen_elsewhere(const std::string& token, std::uint32_t hits) {
  const std::lock_guard lock(mutex_);
  for (auto& [job, watched] : watched_) {
    if (std::find(watched.tokens.begin(), watched.tokens.end(), token) != watched.tokens.end()) watched.elsewhere += hits;
  }
}

std::vector<HitWatch::Risen> HitWatch::risen() {
  const std::lock_guard lock(mutex_);
  std::vector<Risen> jobs;
  for (auto& [job, watched] : watched_) {
    const std::uint32_t now = seen(watched);
    if (now == watched.told) continue;
    jobs.push_back({job, now - watched.told});
    watched.told = now;
  }
  return jobs;
}

}  // namespace evercert
