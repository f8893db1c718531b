#include "agent/net/loop.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

namespace evercert {

PollLoop::PollLoop() : bell_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void PollLoop::watch(int descriptor, short events, std::function<void(short)> ready) {
  watches_[descriptor] = {events, std::make_shared<std::function<void(short)>>(std::move(ready))};
}

void PollLoop::unwatch(int descriptor) {
  watches_.erase(descriptor);
}

void PollLoop::post(std::function<void()> action) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(action));
  }
  const std::uint64_t one = 1;
  static_cast<void>(::write(bell_.get(), &one, sizeof one) == 0);
}

void PollLoop::after(std::chrono::milliseconds pause, std::function<void()> action) {
  timers_.emplace(std::chrono::steady_clock::now() + pause, std::move(action));
}

void PollLoop::run_posted() {
  std::deque<std::function<void()>> mine;
  {
    const std::lock_guard lock(mutex_);
    mine.swap(posted_);
  }
  for (auto& action : mine) action();
}

void PollLoop::run_timers() {
  const auto now = std::chrono::steady_clock::now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const auto action = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    action();
  }
}

void PollLoop::run() {
  while (!ended_) {
    std::vector<pollfd> waiting{{bell_.get(), POLLIN, 0}};
    for (const auto& [descriptor, watched] : watches_) waiting.push_back({descriptor, watched.events, 0});
    int pause = 1000;
    if (!timers_.empty()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first - std::chrono::steady_clock::now());
      pause = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, pause));
    }
    const int ready = ::poll(waiting.data(), waiting.size(), pause);
    if (ready > 0) {
      if (waiting.front().revents != 0) {
        std::uint64_t count = 0;
        static_cast<void>(::read(bell_.get(), &count, sizeof count) == 0);
      }
      for (std::size_t i = 1; i < waiting.size() && !ended_; ++i) {
        if (waiting[i].revents == 0) continue;
        // An earlier one of this round may have ended this watch.
        const auto found = watches_.find(waiting[i].fd);
        if (found == watches_.end()) continue;
        const auto call = found->second.ready;
        (*call)(waiting[i].revents);
      }
    }
    run_posted();
    run_timers();
  }
}

}  // namespace evercert
