// What is told of the agent before what it wrote last: that it works, that it is silent or gone, or that a server runs whose
// agent does not come up, and where the server says why. Made from who leads now, not from what the page says.
#pragma once

#include <chrono>
#include <string>

#include "cli/status_on_disk.h"

namespace evercert {

struct AgentWord {
  std::string sentence;  // printable
  ExitCode exit = exit_done;
  bool gone = false;  // no agent answers for what the page says
};
// Where none does, the status is changed into what is still true: "agent" is silent with the sentence as "message", nothing is
// being done, nothing is served as far as anybody looks, and each certificate's "last_known" keeps "state" and "served".
AgentWord word_of_agent(StatusOnDisk& status, std::chrono::system_clock::time_point now);

}  // namespace evercert
