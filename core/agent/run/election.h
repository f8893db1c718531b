// Who leads: the agent that holds an open-file-description lock on state/agent.lock. The kernel frees it whatever way its
// holder dies, and no other descriptor of the same process can drop it.
#pragma once

#include "evercert/board.h"
#include "evercert/result.h"

namespace evercert {

class Election {
 public:
  // Opens (makes, 0600) agent.lock below the state directory. Errors: storage.
  static Result<Election> open(int state_directory);
  // True: we lead from now on. False: somebody else does. Never waits.
  Result<bool> stand();
  void resign();
  [[nodiscard]] bool leading() const { return leading_; }

 private:
  explicit Election(Descriptor file) : file_(std::move(file)) {}
  Descriptor file_;
  bool leading_ = false;
};

}  // namespace evercert
