// What a person is told of the agent before what it wrote last: that it works, that it is silent, or that a server runs whose
// agent does not come up, and where the server says why.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "cli/status_on_disk.h"

namespace evercert {

// A server that was started with a state directory: it keeps the file "leader" in it open for its agents.
struct Starter {
  int pid = 0;
  std::string name;       // "nginx", "Apache", "HAProxy"
  std::string error_log;  // a path; empty: not known
};
// nullopt: none runs, or we may not look into the processes of its user.
std::optional<Starter> starter_of(const std::string& state_path);

struct AgentWord {
  std::string sentence;  // printable
  ExitCode exit = exit_done;
};
AgentWord word_of_agent(const StatusOnDisk& status, std::chrono::system_clock::time_point now);

}  // namespace evercert
