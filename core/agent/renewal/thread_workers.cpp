#include "agent/renewal/thread_workers.h"

#include <algorithm>

#include "evercert/result.h"

namespace evercert {

ThreadWorkers::ThreadWorkers(const Clock& clock, unsigned threads) : clock_(clock), table_(threads) {
  table_.look_at_the_clock(clock_.now());
  threads_.emplace_back([this](const std::stop_token& stop) { keep_time(stop); });
  for (unsigned i = 0; i < threads; ++i) {
    threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
  }
}

ThreadWorkers::~ThreadWorkers() {
  ThreadWorkers::stop();
}

void ThreadWorkers::stop() {
  for (auto& thread : threads_) thread.request_stop();
  timer_.notify_all();
  ready_.notify_all();
  threads_.clear();
}

// With the lock. Wakes whom the change concerns.
template <typename Change>
void ThreadWorkers::change(Change change) {
  const std::size_t ready = table_.ready();
  const auto next = table_.next();
  change(clock_.now());
  for (std::size_t more = ready; more < table_.ready(); ++more) ready_.notify_one();
  const auto earliest = table_.next();
  if (earliest && (!next || *earliest < *next)) timer_.notify_one();
}

void ThreadWorkers::add(const std::string& name, double urgency, std::optional<Time> due, Step step) {
  const std::lock_guard lock(mutex_);
  change([&](Time now) { table_.add(name, urgency, due, std::move(step), now); });
}

void ThreadWorkers::remove(const std::string& name) {
  const std::lock_guard lock(mutex_);
  table_.remove(name);
}

void ThreadWorkers::poke(const std::string& name) {
  const std::lock_guard lock(mutex_);
  change([&](Time now) { table_.poke(name, now); });
}

void ThreadWorkers::look_at_the_clock() {
  const std::lock_guard lock(mutex_);
  timer_.notify_one();
}

bool ThreadWorkers::pause(std::chrono::milliseconds bound) {
  std::unique_lock lock(mutex_);
  paused_ = true;
  return idle_.wait_for(lock, bound, [this] { return table_.running() == 0; });
}

bool ThreadWorkers::idle() {
  const std::lock_guard lock(mutex_);
  return table_.running() == 0;
}

void ThreadWorkers::resume() {
  const std::lock_guard lock(mutex_);
  paused_ = false;
  ready_.notify_all();
}

void ThreadWorkers::keep_time(const std::stop_token& stop) {
  // The system's clock may jump; a steady wait that began before would sleep too long.
  constexpr std::chrono::milliseconds longest_wait{10000};
  constexpr std::chrono::seconds turned_back{1};
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    Time now;
    change([&](Time present) { table_.look_at_the_clock(now = present); });
    const auto next = table_.next();
    std::chrono::nanoseconds pause = longest_wait;
    if (next) pause = std::min<std::chrono::nanoseconds>(pause, *next - now);
    const Time earliest = next.value_or(Time::max());
    timer_.wait_for(lock, stop, pause, [&] {
      const Time first = table_.next().value_or(Time::max());
      const Time present = clock_.now();
      return first < earliest || first <= present || present + turned_back < now;
    });
  }
}

void ThreadWorkers::work(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (ready_.wait(lock, stop, [this] { return !paused_ && table_.ready() > 0; })) {
    if (stop.stop_requested()) return;
    auto [name, step] = table_.begin();
    lock.unlock();
    // A step that throws (out of memory) is tried again in a minute; the record on disk makes that safe.
    const Again later{clock_.now() + std::chrono::minutes(1)};
    const Again again = at_boundary(
        later, [&] { return step(); }, [](const std::string&) {});
    step = nullptr;
    lock.lock();
    change([&, finished = name](Time now) { table_.finish(finished, again, now); });
    idle_.notify_all();
  }
}

}  // namespace evercert
