#include "serving/launch/told.h"

#include <optional>

#include "serving/base/log_words.h"

namespace evercert {

namespace {

constexpr std::size_t longest_line = 2000;

}  // namespace

std::string one_log_line(std::string_view line) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string safe;
  for (const char character : line) {
    if (safe.size() >= longest_line) {
      // Not in the middle of a character.
      while (!safe.empty() && (static_cast<unsigned char>(safe.back()) & 0xc0) == 0x80) safe.pop_back();
      if (!safe.empty() && static_cast<unsigned char>(safe.back()) >= 0xc0) safe.pop_back();
      return safe + "...";
    }
    const auto code = static_cast<unsigned char>(character);
    if (code >= 0x20 && code != 0x7f)
      safe.push_back(character);
    else
      safe.append("\\x").append({digits[code >> 4], digits[code & 15]});
  }
  return safe;
}

bool write_told(const Json& message, Logger& log) {
  if (!message.contains("log")) return false;
  const auto level = json_text(message, "log", "a message");
  const auto line = json_text(message, "line", "a message");
  const auto known = level ? log_level_of(*level) : std::nullopt;
  if (known && line) log.write(*known, one_log_line(*line));
  return true;
}

}  // namespace evercert
