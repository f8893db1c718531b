// What one CA may be asked at once: so many orders in flight, and, when it cannot be reached, one shared probe instead of one
// per name. One object per CA account, shared by all its orders. Thread-safe; never waits: who is refused is named when it is
// worth coming back.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/renewal/polling.h"
#include "agent/renewal/schedule.h"

namespace evercert {

class Budget {
 public:
  explicit Budget(unsigned max_orders) : max_orders_(max_orders == 0 ? 1 : max_orders) {}

  // A place for an order; false: none is free, the job is remembered and named by a later release().
  bool take(const std::string& job, double urgency);
  // An order found on disk has its place whatever the number.
  void occupy(const std::string& job);
  // Frees the place; the job that may come back now, if any.
  std::optional<std::string> release(const std::string& job);
  // The job is gone: neither holds nor waits.
  std::optional<std::string> forget(const std::string& job);

  // --- the breaker ---
  // Open after five connection failures within a minute, at the second within five minutes of requests that were never
  // answered if nothing succeeded in between, or at the first when the CA could not even be reached. nullopt: go ahead (also
  // the one probe when its time has come); else when to ask again. Who waits here is named by succeeded().
  std::optional<Time> blocked_until(const std::string& job, Time now);
  enum class Failure {
    answer,       // the connection broke, or what came back made no sense
    silence,      // no answer within the time-out
    unreachable,  // there was no connection at all
  };
  // True when this failure opened the breaker. While it is open, whoever fails waits for the probe.
  bool failed(const std::string& job, Time now, double random, Failure failure = Failure::answer);
  // The job neither reached the CA nor failed to: another one may probe.
  void pass(const std::string& job, Time now);
  // True and the waiting jobs when this success closed it.
  struct Back {
    bool closed_now = false;
    std::vector<std::string> waiting;
  };
  Back succeeded(const std::string& job, Time now);
  [[nodiscard]] bool is_open() const { return next_probe().has_value(); }
  [[nodiscard]] std::optional<Time> next_probe() const;  // while it is open

  // --- experience ---
  [[nodiscard]] Experience experience() const;
  void learn_hits(std::uint32_t hits, std::size_t challenges);

 private:
  mutable std::mutex mutex_;
  unsigned max_orders_;
  std::set<std::string> holders_;
  std::multimap<double, std::string> queue_;
  std::deque<Time> failures_;
  std::optional<Time> silent_at_;
  bool open_ = false;
  Time probe_at_;
  std::string probe_;  // the job that probes now, or empty
  unsigned probes_failed_ = 0;
  Time closed_at_;
  std::set<std::string> blocked_;
  Experience experience_;
};

}  // namespace evercert
