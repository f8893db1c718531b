// The agent's main thread: waits on descriptors, runs what other threads post, and ticks. Everything that is not a step of an
// order happens here, so nothing here may block.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "evercert/board.h"

namespace evercert {

class Loop {
 public:
  Loop();
  // Calls `ready` with poll(2)'s events; replaces an earlier watch of the same descriptor. Main thread only.
  void watch(int descriptor, short events, std::function<void(short)> ready);
  void unwatch(int descriptor);
  // From any thread: run this on the main thread soon.
  void post(std::function<void()> action);
  // Once, on the main thread, at the earliest after `pause`.
  void after(std::chrono::milliseconds pause, std::function<void()> action);
  // Until end() was called.
  void run();
  void end() { ended_ = true; }
  [[nodiscard]] bool ended() const { return ended_; }

 private:
  void run_posted();
  void run_timers();
  struct Watch {
    short events;
    std::shared_ptr<std::function<void(short)>> ready;
  };
  Descriptor bell_;
  std::map<int, Watch> watches_;
  std::multimap<std::chrono::steady_clock::time_point, std::function<void()>> timers_;
  std::mutex mutex_;
  std::deque<std::function<void()>> posted_;
  bool ended_ = false;
};

}  // namespace evercert
