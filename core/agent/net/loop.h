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

#include "evercert/descriptor.h"

namespace evercert {

class Loop {
 public:
  virtual ~Loop() = default;
  // Calls `ready` with poll(2)'s events; replaces an earlier watch of the same descriptor. Main thread only.
  virtual void watch(int descriptor, short events, std::function<void(short)> ready) = 0;
  virtual void unwatch(int descriptor) = 0;
  // From any thread: run this on the main thread soon.
  virtual void post(std::function<void()> action) = 0;
  // Once, on the main thread, at the earliest after `pause`.
  virtual void after(std::chrono::milliseconds pause, std::function<void()> action) = 0;
  // Until end() was called.
  virtual void run() = 0;
  virtual void end() = 0;
  [[nodiscard]] virtual bool ended() const = 0;
};

class PollLoop : public Loop {
 public:
  PollLoop();
  void watch(int descriptor, short events, std::function<void(short)> ready) override;
  void unwatch(int descriptor) override;
  void post(std::function<void()> action) override;
  void after(std::chrono::milliseconds pause, std::function<void()> action) override;
  void run() override;
  void end() override { ended_ = true; }
  [[nodiscard]] bool ended() const override { return ended_; }

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
