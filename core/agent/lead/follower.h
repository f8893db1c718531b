// An agent that does not lead: hands its plan to the leader, fills its own server's board from the store that both share, and
// asks its own listeners what they serve. Main thread only, but for what Workers run.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "agent/challenge/hit_watch.h"
#include "agent/challenge/open_answers.h"
#include "agent/control/control.h"
#include "agent/lead/agent_context.h"
#include "agent/publish/publication.h"

namespace evercert {

class Follower {
 public:
  // `wake` rings when a worker saw a validation request, or is -1. `alone`: the leader has gone, or has made room for us: stand
  // for election.
  Follower(AgentContext& context, int wake, std::function<void()> alone);
  ~Follower();
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;

  // Begins to ask the leader for a place. connection: there is none.
  Result<Done> attach();
  // When the leader was last heard of; not before it has proved to be one.
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> heard_at() const { return heard_; }
  [[nodiscard]] bool following() const { return following_; }

 private:
  void heard();
  // False: nothing more is to be read.
  bool take_message();
  bool leave();
  Result<bool> ask();
  void follow();
  void changed(const std::string& key);
  void answer_changed(const std::string& key);
  void tell_hits();
  void look_later(const CertificateSpec& certificate);

  AgentContext& context_;
  const int wake_;
  std::function<void()> alone_;
  StoredAnswers stored_answers_;
  BoardAnswers board_answers_;
  HitWatch hit_watch_;                         // by key of the store
  std::map<std::string, std::string> tokens_;  // of what it watches
  std::optional<ControlConnection> leader_;
  std::optional<std::chrono::steady_clock::time_point> heard_;
  bool asked_ = false;
  bool following_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<Workers> workers_;
  Publication publication_;
  std::vector<std::unique_ptr<StoreWatch>> watches_;
};

}  // namespace evercert
