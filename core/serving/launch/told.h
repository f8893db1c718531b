// Log lines that an agent or its keeper sends up its channel: {"log":LEVEL,"line":TEXT}. What comes is not trusted to be one
// line.
#pragma once

#include "evercert/log.h"
#include "serving/base/json.h"

namespace evercert {

// Writes the line that a message carries. False: the message carries none.
bool write_told(const Json& message, Logger& log);

}  // namespace evercert
