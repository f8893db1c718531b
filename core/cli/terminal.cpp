#include "cli/terminal.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace evercert {

std::string coloured(const std::string& text, Colour colour, bool wanted) {
  if (!wanted || colour == Colour::plain) {
    return text;
  }
  const char* begin = colour == Colour::good ? "\x1b[32m" : colour == Colour::busy ? "\x1b[34m" : "\x1b[31m";
  return begin + text + "\x1b[0m";
}

std::string printable_json(const std::string& json) {
  const bool plain =
      std::all_of(json.begin(), json.end(), [](char letter) { return letter == '\n' || (letter >= 0x20 && letter < 0x7f); });
  if (plain) {
    return json;
  }
  // Members keep their order, which is one for people.
  return nlohmann::ordered_json::parse(json, nullptr, false)
      .dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
}

std::string seconds_text(double seconds) {
  char text[32];
  static_cast<void>(std::snprintf(text, sizeof text, seconds < 10.0 ? "%.1f s" : "%.0f s", seconds));
  return text;
}

}  // namespace evercert
