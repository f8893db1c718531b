// Who leads: the agent that holds a lock on state_path/leader (leader_file.h). The lock is a process's own (POSIX record lock):
// all agents of a server share one open file description through their starter, so that a lock bound to that would be
// everybody's. The kernel frees it whatever way its holder dies, and names the holder.
//
// Two bytes are locked: the first by whoever leads, the second as well by an agent. The command line, which takes the place of
// an agent for a moment, locks the first only, and is not to be ended by others.
#pragma once

#include <sys/types.h>

#include <optional>

#include "evercert/result.h"

namespace evercert {

class Election {
 public:
  enum class As { agent, command_line };
  // `leader_file` stays with its owner, who must not open it a second time: closing either drops the lock.
  explicit Election(int leader_file, As as = As::agent) : file_(leader_file), as_(as) {}
  ~Election() { resign(); }
  Election(Election&& other) noexcept;
  Election(const Election&) = delete;
  Election& operator=(const Election&) = delete;
  Election& operator=(Election&&) = delete;

  // True: we lead from now on. False: somebody else does. Never waits. Errors: storage.
  Result<bool> stand();
  void resign();

  struct Holder {
    pid_t pid = 0;  // 0: of a process that is not to be seen from here (another container)
    bool agent = false;
  };
  // Who leads, if it is another process.
  [[nodiscard]] std::optional<Holder> holder() const;

 private:
  int file_;
  As as_;
  bool leading_ = false;
};

// Ends an agent that holds the lead and does not answer.
enum class Ending { ended, waits_for_disk, not_allowed };
Ending end_silent(const Election& election, const Election::Holder& holder);

}  // namespace evercert
