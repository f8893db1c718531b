// The words for log levels: on the channel between agent and server, in events and in the audit trail. Used by both ends.
#pragma once

#include <optional>
#include <string_view>

#include "evercert/log.h"

namespace evercert {

const char* to_string(LogLevel level);
std::optional<LogLevel> log_level_of(std::string_view word);

}  // namespace evercert
