// Where the leader lays answers to challenges out for other servers on the same state directory: in the store. Behind a common
// listener or a load balancer the CA may ask any of them, so an answer is laid out only once all followers show it.
// Rule: a follower that does not answer costs a moment, never an order.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>

#include "agent/challenge/open_answers.h"

namespace evercert {

// Thread-safe.
class SharedAnswers : public AnswerPlace {
 public:
  // Followers are waited for until `stop`, and no longer than `patience`.
  SharedAnswers(AnswerPlace& store, std::stop_token stop, std::chrono::milliseconds patience = std::chrono::milliseconds(500))
      : store_(store), stop_(std::move(stop)), patience_(patience) {}

  // Followers by their instance. One that joins says what it shows without being asked.
  void joined(const std::string& follower);
  void left(const std::string& follower);
  void shown(const std::string& follower, const std::string& token);

  Result<Done> put(const OpenAnswer& answer) override;

 private:
  AnswerPlace& store_;
  const std::stop_token stop_;
  const std::chrono::milliseconds patience_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::set<std::string> followers_;
  std::multimap<std::string, std::set<std::string>> awaited_;  // token: followers that have not shown it yet
};

}  // namespace evercert
