#include "agent/renewal/workers.h"

#include <algorithm>

#include "evercert/result.h"

namespace evercert {

Workers::Workers(const Clock& clock, unsigned threads) : clock_(clock) {
  threads_.emplace_back([this](const std::stop_token& stop) { keep_time(stop); });
  for (unsigned i = 0; i < threads; ++i) {
    threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
  }
}

Workers::~Workers() {
  stop();
}

void Workers::stop() {
  for (auto& thread : threads_) thread.request_stop();
  timer_.notify_all();
  ready_.notify_all();
  threads_.clear();
}

void Workers::line_up(const std::string& name, Job& job) {
  if (job.due) later_.erase({*job.due, name});
  due_.erase({job.urgency, name});
  if (job.running || job.removed) return;
  if (job.poked || (job.due && *job.due <= clock_.now())) {
    due_.emplace(job.urgency, name);
    ready_.notify_one();
  } else if (job.due) {
    later_.emplace(*job.due, name);
    if (later_.begin()->second == name) timer_.notify_one();
  }
}

void Workers::add(const std::string& name, double urgency, std::optional<Time> due, Step step) {
  const std::lock_guard lock(mutex_);
  Job& job = jobs_[name];
  due_.erase({job.urgency, name});
  if (job.due) later_.erase({*job.due, name});
  job.urgency = urgency;
  job.due = due;
  job.step = std::move(step);
  job.removed = false;
  line_up(name, job);
}

void Workers::remove(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto found = jobs_.find(name);
  if (found == jobs_.end()) return;
  Job& job = found->second;
  due_.erase({job.urgency, name});
  if (job.due) later_.erase({*job.due, name});
  job.removed = true;
  if (!job.running) jobs_.erase(found);
}

void Workers::poke(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto found = jobs_.find(name);
  if (found == jobs_.end()) return;
  found->second.poked = true;
  if (found->second.due) later_.erase({*found->second.due, name});
  line_up(name, found->second);
}

void Workers::poke_all() {
  const std::lock_guard lock(mutex_);
  poke_each();
}

void Workers::poke_each() {
  for (auto& [name, job] : jobs_) {
    job.poked = true;
    if (job.due) later_.erase({*job.due, name});
    line_up(name, job);
  }
}

void Workers::look_at_the_clock() {
  const std::lock_guard lock(mutex_);
  timer_.notify_one();
}

bool Workers::pause(std::chrono::milliseconds bound) {
  std::unique_lock lock(mutex_);
  paused_ = true;
  return idle_.wait_for(lock, bound, [this] { return running_ == 0; });
}

bool Workers::idle() {
  const std::lock_guard lock(mutex_);
  return running_ == 0;
}

void Workers::resume() {
  const std::lock_guard lock(mutex_);
  paused_ = false;
  ready_.notify_all();
}

void Workers::keep_time(const std::stop_token& stop) {
  // The system's clock may jump; a steady wait that began before would sleep too long.
  constexpr std::chrono::milliseconds longest_wait{10000};
  // A clock that runs is looked at again before this has passed.
  constexpr std::chrono::seconds turned_back{1};
  std::unique_lock lock(mutex_);
  Time last = clock_.now();
  while (!stop.stop_requested()) {
    const Time now = clock_.now();
    // Times that the other clock gave may lie years ahead: every job looks what they mean now.
    if (now + turned_back < last) poke_each();
    last = now;
    while (!later_.empty() && later_.begin()->first <= now) {
      const std::string name = later_.begin()->second;
      later_.erase(later_.begin());
      line_up(name, jobs_.at(name));
    }
    std::chrono::nanoseconds pause = longest_wait;
    if (!later_.empty()) pause = std::min<std::chrono::nanoseconds>(pause, later_.begin()->first - now);
    const auto earliest = later_.empty() ? Time::max() : later_.begin()->first;
    timer_.wait_for(lock, stop, pause, [&] {
      const auto first = later_.empty() ? Time::max() : later_.begin()->first;
      const Time present = clock_.now();
      return first < earliest || first <= present || present + turned_back < now;
    });
  }
}

void Workers::work(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (ready_.wait(lock, stop, [this] { return !paused_ && !due_.empty(); })) {
    if (stop.stop_requested()) return;
    const std::string name = due_.begin()->second;
    due_.erase(due_.begin());
    Job& job = jobs_.at(name);
    job.poked = false;
    job.due.reset();
    job.running = true;
    ++running_;
    Step step = job.step;
    lock.unlock();
    // A step that throws (out of memory) is tried again in a minute; the record on disk makes that safe.
    const Again later{clock_.now() + std::chrono::minutes(1)};
    const Again again = at_boundary(
        later, [&] { return step(); }, [](const std::string&) {});
    step = nullptr;
    lock.lock();
    finish(name, again);
  }
}

void Workers::finish(const std::string& name, const Again& again) {
  --running_;
  const auto found = jobs_.find(name);
  if (found != jobs_.end()) {
    Job& job = found->second;
    job.running = false;
    // What was added during the step is a job of its own, which the end of this one does not end.
    if (job.removed || (again.gone && !job.due)) {
      jobs_.erase(found);
    } else {
      if (again.urgency) job.urgency = *again.urgency;
      // add() during the step may have set a due time of its own: the earlier one holds.
      if (again.at && (!job.due || *again.at < *job.due)) {
        job.due = again.at;
      }
      line_up(name, job);
    }
  }
  idle_.notify_all();
}

}  // namespace evercert
