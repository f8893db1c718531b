// Forks and executes the agent's program with one descriptor, 3, which is the channel.
// Rule: between fork and exec only calls that are safe after a fork in a process with threads.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "evercert/descriptor.h"
#include "evercert/launch.h"

namespace evercert {

struct Spawned {
  pid_t pid = -1;
  Descriptor channel;
  Descriptor process;  // pidfd: names this very process even after its pid has been given away; may be missing
};

constexpr int channel_number = 3;

// `words`: what follows the program's name. The child waits for `pause` before it executes the program, or ends when its
// starter does.
Result<Spawned> spawn_agent(const Supervisor::Program& program, const std::vector<std::string>& words,
                            std::chrono::milliseconds pause);
// The same as nobody's child, in a session of its own.
Result<Spawned> spawn_detached(const Supervisor::Program& program, const std::vector<std::string>& words);

// What the child sends on the channel instead of starting: {"failed":STEP,"errno":N}.
constexpr const char* failed_step_execute = "execute";
constexpr const char* failed_step_copy = "execute a copy of";
constexpr const char* failed_step_hide = "hide";  // its user may read it

// "cannot execute PATH: …; see that …": why the program does not start, from that message.
std::string why_not_started(const std::string& step, int code, const std::string& path);

}  // namespace evercert
