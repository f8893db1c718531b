// One process's workers and its main thread, run by the world one step at a time. Which job is next is said by the product's
// own table.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>

#include "agent/net/loop.h"
#include "agent/renewal/workers.h"
#include "simulation/times.h"

namespace evercert::simulation {

// What looks after things once a minute is let run once in a while only: a machine may be that slow, and nothing that is
// promised to a CA or to a person may hang on it.
class SimulatedWorkers : public Workers {
 public:
  explicit SimulatedWorkers(const Times& times) : times_(times) {}

  void add(const std::string& name, double urgency, std::optional<Time> due, Step step) override;
  void remove(const std::string& name) override;
  void poke(const std::string& name) override;
  void stop() override { stopped_ = true; }
  bool pause(std::chrono::milliseconds) override;
  void resume() override { paused_ = false; }
  [[nodiscard]] bool idle() override { return jobs_.running() + chores_.running() == 0; }

  // --- the world's side ---
  [[nodiscard]] std::optional<Time> next() const;  // by the machine's clock
  void look_at_the_clock(bool chores_too);
  [[nodiscard]] bool ready() const { return !stopped_ && !paused_ && jobs_.ready() + chores_.ready() > 0; }
  // Returns the name of the job that took a step. It may throw; then the process is at its end.
  std::string run_one();
  // When a job will run by itself; nullopt: when it is poked. For rules about pauses.
  [[nodiscard]] std::optional<Time> due_of(const std::string& name) const;
  [[nodiscard]] bool has(const std::string& name) const { return planned_.contains(name); }

 private:
  JobTable& table_of(const std::string& name) { return chore_names_.contains(name) ? chores_ : jobs_; }

  const Times& times_;
  // One step at a time: nobody keeps anybody out.
  // As many as a leader has, so that others take steps while one waits for a CA.
  JobTable jobs_{8};
  JobTable chores_{8};
  std::set<std::string> chore_names_;
  std::map<std::string, std::optional<Time>> planned_;
  bool paused_ = false;
  bool stopped_ = false;
};

class SimulatedLoop : public Loop {
 public:
  explicit SimulatedLoop(const Times& times) : times_(times) {}
  // No descriptor is ever ready here: what comes over sockets is played by the world.
  void watch(int, short, std::function<void(short)>) override {}
  void unwatch(int) override {}
  void post(std::function<void()> action) override { posted_.push_back(std::move(action)); }
  void after(std::chrono::milliseconds pause, std::function<void()> action) override {
    timers_.emplace(times_.now + pause, std::move(action));
  }
  void run() override {}
  void end() override { ended_ = true; }
  [[nodiscard]] bool ended() const override { return ended_; }

  [[nodiscard]] std::optional<Time> next() const;
  [[nodiscard]] bool ready() const { return !posted_.empty() || (!timers_.empty() && timers_.begin()->first <= times_.now); }
  void run_one();

 private:
  const Times& times_;
  std::deque<std::function<void()>> posted_;
  std::multimap<Time, std::function<void()>> timers_;
  bool ended_ = false;
};

}  // namespace evercert::simulation
