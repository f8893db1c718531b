// Who leads a state directory at this moment: not what a page says of when it was written, but what the kernel knows.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "agent/lead/election.h"
#include "evercert/result.h"

namespace evercert {

struct Lead {
  enum class Kind {
    agent,
    stopped,  // an agent that a signal or a debugger has stopped
    command,  // an evercert command in the place of an agent, for a moment
    nobody,
    unknown,  // neither the file "leader" nor the socket of the agent is ours to ask
  };
  Kind kind = Kind::unknown;
  pid_t pid = 0;  // 0: of nobody, or not to be seen from here
  // Whether it is the process that wrote so of itself; where the number tells nothing, it may be.
  [[nodiscard]] bool may_be(std::uint64_t number) const;
};

// The holder of the lead, as far as the file "leader" is ours to open.
Result<std::optional<Election::Holder>> holder_of_lead(const std::string& state_path);

Lead lead_of(const std::string& state_path);
// The same, where nobody or a command leads only once that has lasted: between two agents, as at a reload, there is a moment
// without one. Waits for seconds where somebody keeps the file "leader" open who may come to lead, no longer than that.
Lead settled_lead(const std::string& state_path);

// "process 7"
std::string words_for(pid_t pid);

}  // namespace evercert
