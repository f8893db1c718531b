// One request to the agent and what it answers: events as they happen, then the end.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "agent/run/control.h"
#include "cli/command_line.h"

namespace evercert {

struct Answer {
  int exit = exit_failed;
  std::string message;
  std::vector<nlohmann::json> events;
};

// Sends the request and prints a progress line on `err` for each event, and one every ten seconds while nothing happens. An
// agent that goes away in between is exit_unreachable.
Answer converse(ControlConnection& agent, const nlohmann::json& request, Surroundings& surroundings);

// Prints the end of it (JSON when asked for) and returns its exit code.
int conclude(const Answer& answer, const Request& request, Surroundings& surroundings);

// exit_unreachable, with the sentence.
int nobody_answers(const std::string& state_path, const Error& error, Surroundings& surroundings);

}  // namespace evercert
