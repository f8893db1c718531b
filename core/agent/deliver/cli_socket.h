// One question to one of HAProxy's command-line sockets (stats socket or master). For what the agent delivers without Lua.
// Rule: each command on a connection of its own, and never a second one before the first is answered: HAProxy 2.6 crashes under
// clients that get out of step.
#pragma once

#include <string>
#include <string_view>

#include "evercert/result.h"

namespace evercert {

// Everything HAProxy says until it closes the connection. Errors: connection (nobody answers).
Result<std::string> ask_haproxy(const std::string& socket_path, std::string_view command);

// What an operator wants to read of an answer.
std::string first_line(const std::string& answer);

}  // namespace evercert
