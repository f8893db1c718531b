// Log lines that an agent or its keeper sends up its channel: {"log":LEVEL,"line":TEXT}. What comes is not trusted to be one
// line.
#pragma once

#include <string>
#include <string_view>

#include "evercert/log.h"
#include "serving/base/json.h"

namespace evercert {

// One line stays one line in the server's log, and a terminal that shows it keeps its colours.
std::string one_log_line(std::string_view line);

// Writes the line that a message carries. False: the message carries none.
bool write_told(const Json& message, Logger& log);

}  // namespace evercert
