// What goes to a terminal: colours where they are wanted, and nothing that could command it. Names and sentences come from
// CAs and files, so all of them pass printable().
#pragma once

#include <string>
#include <string_view>

namespace evercert {

enum class Colour { plain, good, busy, bad };

std::string coloured(const std::string& text, Colour colour, bool wanted);

// The text with control characters (and ill-formed UTF-8) replaced.
std::string printable(std::string_view text);

// "0.4 s", "75 s"
std::string seconds_text(double seconds);

}  // namespace evercert
