#include "serving/base/log_words.h"

#include <array>
#include <utility>

namespace evercert {
namespace {

constexpr std::array<std::pair<LogLevel, const char*>, 5> level_words{{{LogLevel::error, "error"},
                                                                       {LogLevel::warn, "warn"},
                                                                       {LogLevel::notice, "notice"},
                                                                       {LogLevel::info, "info"},
                                                                       {LogLevel::debug, "debug"}}};

}  // namespace

const char* to_string(LogLevel level) {
  for (const auto& [known, word] : level_words)
    if (known == level) return word;
  return "error";
}

std::optional<LogLevel> log_level_of(std::string_view word) {
  for (const auto& [level, known] : level_words)
    if (word == known) return level;
  return std::nullopt;
}

}  // namespace evercert
