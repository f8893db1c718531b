// One request to the agent and what it answers: events as they happen, then the end.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "agent/control/control.h"
#include "cli/command_line.h"

namespace evercert {

struct Answer {
  int exit = exit_failed;
  std::string message;
  std::vector<nlohmann::json> events;
};

// How long a verb waits. An agent that has taken the request carries on without whoever asked, but for imports.
struct Patience {
  std::optional<std::chrono::seconds> whole = std::chrono::minutes(5);
  std::optional<std::chrono::seconds> silence = std::nullopt;  // since the last event
};
// What --timeout says, else what suits the verb: an import tells each step and may take hours.
Patience patience_of(const Request& request);

// The agent that leads this state directory, proved to hold its key. Errors: connection: nobody leads, or who does is silent or
// is somebody else; storage: we may not read seal.key; configuration: others than root could exchange what lies there.
Result<ControlConnection> reach_agent(const std::string& state_path, const Patience& patience = {});

// What is said of one that does not answer.
std::string silent_agent(const std::string& who);

// Sends the request and prints a progress line on `err` for each event, and one every ten seconds while nothing happens. An
// agent that goes away in between, or never takes the request, is exit_unreachable; one that is not done in time exit_failed.
Answer converse(ControlConnection& agent, const nlohmann::json& request, Surroundings& surroundings,
                const Patience& patience = {});

// Prints the end of it (JSON when asked for) and returns its exit code.
int conclude(const Answer& answer, const Request& request, Surroundings& surroundings);

}  // namespace evercert
