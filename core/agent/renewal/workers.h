// The agent's threads: one that keeps the time and a few that work. A job is a name and a function that takes ONE step and
// says when it wants to run again; between steps no thread belongs to it, so an order that waits never blocks a worker. Steps
// of one job never overlap.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "agent/renewal/schedule.h"
#include "serving/base/clock.h"

namespace evercert {

class Workers {
 public:
  // What a step wants: a time to run again, nullopt to sleep until poked; `gone` to be forgotten.
  struct Again {
    std::optional<Time> at = std::nullopt;
    bool gone = false;
    std::optional<double> urgency = std::nullopt;  // a new one
  };
  using Step = std::function<Again()>;

  Workers(const Clock& clock, unsigned threads);
  ~Workers();  // as stop()
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // A new job, or another function for one of that name. Smaller urgency goes first among those that are due.
  void add(const std::string& name, double urgency, std::optional<Time> due, Step step);
  // Forgets the job; a step that is running ends by itself.
  void remove(const std::string& name);
  // Something happened: run as soon as a worker is free (once more, if it is running now).
  void poke(const std::string& name);
  void poke_all();
  // The clock was turned by hand, or jumped.
  void look_at_the_clock();

  // Ends all threads; returns once the running steps have ended. Nothing runs afterwards.
  void stop();
  // No new step begins; true once the running ones have ended, false when the bound is over.
  bool pause(std::chrono::milliseconds bound);
  void resume();
  [[nodiscard]] bool idle();

 private:
  struct Job {
    double urgency = 0;
    std::optional<Time> due;
    Step step;
    bool running = false;
    bool poked = false;
    bool removed = false;
  };
  void keep_time(const std::stop_token& stop);
  void work(const std::stop_token& stop);
  void line_up(const std::string& name, Job& job);
  void finish(const std::string& name, const Again& again);
  void poke_each();

  const Clock& clock_;
  std::mutex mutex_;
  std::condition_variable_any timer_;
  std::condition_variable_any ready_;
  std::condition_variable_any idle_;
  std::map<std::string, Job> jobs_;
  std::set<std::pair<Time, std::string>> later_;
  std::set<std::pair<double, std::string>> due_;
  unsigned running_ = 0;
  bool paused_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace evercert
