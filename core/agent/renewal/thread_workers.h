// The agent's threads: one that keeps the time and a few that work.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "agent/renewal/workers.h"
#include "serving/base/clock.h"

namespace evercert {

// Thread-safe.
class ThreadWorkers : public Workers {
 public:
  ThreadWorkers(const Clock& clock, unsigned threads);
  ~ThreadWorkers() override;  // as stop()
  ThreadWorkers(const ThreadWorkers&) = delete;
  ThreadWorkers& operator=(const ThreadWorkers&) = delete;

  void add(const std::string& name, double urgency, std::optional<Time> due, Step step) override;
  void remove(const std::string& name) override;
  void poke(const std::string& name) override;
  void stop() override;
  bool pause(std::chrono::milliseconds bound) override;
  void resume() override;
  [[nodiscard]] bool idle() override;
  // The clock was turned by hand, or jumped.
  void look_at_the_clock();

 private:
  void keep_time(const std::stop_token& stop);
  void work(const std::stop_token& stop);
  template <typename Change>
  void change(Change change);

  const Clock& clock_;
  std::mutex mutex_;
  std::condition_variable_any timer_;
  std::condition_variable_any ready_;
  std::condition_variable_any idle_;
  JobTable table_;
  bool paused_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace evercert
