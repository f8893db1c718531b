#include "serving/launch/told.h"

#include <optional>

#include "evercert/text.h"
#include "serving/base/log_words.h"

namespace evercert {

bool write_told(const Json& message, Logger& log) {
  if (!message.contains("log")) return false;
  const auto level = json_text(message, "log", "a message");
  const auto line = json_text(message, "line", "a message");
  const auto known = level ? log_level_of(*level) : std::nullopt;
  if (known && line) log.write(*known, printable(*line));
  return true;
}

}  // namespace evercert
