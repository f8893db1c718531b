// Who takes the agent's steps. A job is a name and a function that takes ONE step and says when it wants to run again; between
// steps nobody belongs to it, so an order that waits never blocks anybody. Steps of one job never overlap.
// The contract, and the table that says which job is next; thread_workers.h is what the agent runs on.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "agent/renewal/schedule.h"

namespace evercert {

class Workers {
 public:
  // What a step wants: a time to run again, nullopt to sleep until poked; `gone` to be forgotten.
  struct Again {
    std::optional<Time> at = std::nullopt;
    bool gone = false;
    std::optional<double> urgency = std::nullopt;  // a new one
    // Whom the next steps will wait for, a CA; empty: nobody. Steps of one group never take all threads (JobTable).
    std::optional<std::string> group = std::nullopt;  // a new one
  };
  using Step = std::function<Again()>;

  virtual ~Workers() = default;

  // A new job, or another function for one of that name. Smaller urgency goes first among those that are due.
  virtual void add(const std::string& name, double urgency, std::optional<Time> due, Step step) = 0;
  // Forgets the job; a step that is running ends by itself.
  virtual void remove(const std::string& name) = 0;
  // Something happened: run as soon as a worker is free (once more, if it is running now).
  virtual void poke(const std::string& name) = 0;

  // Returns once the running steps have ended. Nothing runs afterwards.
  virtual void stop() = 0;
  // No new step begins; true once the running ones have ended, false when the bound is over.
  virtual bool pause(std::chrono::milliseconds bound) = 0;
  virtual void resume() = 0;
  [[nodiscard]] virtual bool idle() = 0;
};

// Jobs by their time and urgency. Not thread-safe: its owner has a lock, or one thread.
// Rule: a group may have at most half of the threads that other groups leave, so that whoever is slow or silent keeps neither
// another group out nor, ever, what belongs to no group.
class JobTable {
 public:
  explicit JobTable(unsigned threads) : threads_(threads) {}
  void add(const std::string& name, double urgency, std::optional<Time> due, Workers::Step step, Time now);
  void remove(const std::string& name);
  void poke(const std::string& name, Time now);
  // Lines up what has come due. After a clock was turned back every job: times that the other clock gave may lie years ahead.
  void look_at_the_clock(Time now);

  // How many may begin now.
  [[nodiscard]] std::size_t ready() const;
  [[nodiscard]] std::size_t running() const { return running_; }
  // When the next job comes due that is not ready yet.
  [[nodiscard]] std::optional<Time> next() const;

  struct Begun {
    std::string name;
    Workers::Step step;
  };
  // The most urgent of those that are ready, of which there is one.
  Begun begin();
  void finish(const std::string& name, const Workers::Again& again, Time now);

 private:
  struct Job {
    double urgency = 0;
    std::optional<Time> due;
    Workers::Step step;
    bool running = false;
    bool poked = false;
    bool removed = false;
    std::string group;
    std::string running_in;  // the group that its running step was begun in
  };
  struct Group {
    std::size_t running = 0;
    std::set<std::pair<double, std::string>> due;
  };
  // How many more steps of that group may run.
  [[nodiscard]] std::size_t room(const std::string& name, const Group& group) const;
  void line_up(const std::string& name, Job& job, Time now);
  void take_out(const std::string& name, const Job& job);
  void poke_each(Time now);

  std::map<std::string, Job> jobs_;
  std::set<std::pair<Time, std::string>> later_;
  std::map<std::string, Group> groups_;
  const unsigned threads_;
  std::size_t running_ = 0;
  std::size_t grouped_ = 0;  // of those that are running
  std::optional<Time> looked_at_;
};

}  // namespace evercert
