// Where an answer to a challenge can be asked for: on the board of our own server, and in the store, from which the agents of
// other servers on the same state directory put it on theirs. Used by the solvers and by the agent's loop.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/store/records.h"
#include "evercert/board.h"
#include "evercert/plan.h"
#include "evercert/result.h"
#include "evercert/state.h"
#include "serving/base/clock.h"

namespace evercert {

struct OpenAnswer {
  ChallengeKind kind = ChallengeKind::http_01;
  std::string token;
  std::string answer;
  std::chrono::system_clock::time_point expires;
};

// Thread-safe. Putting an answer again replaces it and its time.
class AnswerPlace {
 public:
  virtual ~AnswerPlace() = default;
  virtual Result<Done> put(const OpenAnswer& answer) = 0;
};

class BoardAnswers : public AnswerPlace {
 public:
  explicit BoardAnswers(Board& board) : board_(board) {}
  Result<Done> put(const OpenAnswer& answer) override;

 private:
  Board& board_;
};

// Sealed records challenges/<kind>.<name>.answer. Tokens tell upper from lower case and store keys do not, so the name is a
// digest of the token.
class StoredAnswers : public AnswerPlace {
 public:
  StoredAnswers(Store& store, SealKey agent) : store_(store), records_(store, std::move(agent)) {}
  Result<Done> put(const OpenAnswer& answer) override;
  // By its key in the store, as a watch on "challenges/" tells it. nullopt: gone. Damaged: storage, and in quarantine now.
  Result<std::optional<OpenAnswer>> get(const std::string& key);
  // All that are readable and open at `now`; erases those whose time has passed.
  Result<std::vector<OpenAnswer>> sweep(std::chrono::system_clock::time_point now);

 private:
  Store& store_;
  Records records_;
};

}  // namespace evercert
