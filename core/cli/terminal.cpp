#include "cli/terminal.h"

#include <cstdio>

#include "agent/observe/utf8.h"

namespace evercert {

std::string coloured(const std::string& text, Colour colour, bool wanted) {
  if (!wanted || colour == Colour::plain) {
    return text;
  }
  const char* begin = colour == Colour::good ? "\x1b[32m" : colour == Colour::busy ? "\x1b[34m" : "\x1b[31m";
  return begin + text + "\x1b[0m";
}

std::string printable(std::string_view text) {
  std::string safe;
  for (const char letter : valid_utf8(text)) {
    const auto byte = static_cast<unsigned char>(letter);
    // 0xc2 0x80 to 0x9f are control characters, too, for some terminals.
    const bool second_half = !safe.empty() && static_cast<unsigned char>(safe.back()) == 0xc2 && byte < 0xa0 && byte >= 0x80;
    if (byte < 0x20 || byte == 0x7f) {
      safe += '?';
    } else if (second_half) {
      safe.back() = '?';
    } else {
      safe += letter;
    }
  }
  return safe;
}

std::string seconds_text(double seconds) {
  char text[32];
  static_cast<void>(std::snprintf(text, sizeof text, seconds < 10.0 ? "%.1f s" : "%.0f s", seconds));
  return text;
}

}  // namespace evercert
