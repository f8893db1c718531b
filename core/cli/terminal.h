// What goes to a terminal: colours where they are wanted, and nothing that could command it. Names and sentences come from
// CAs and files, so all of them pass printable().
#pragma once

#include <string>

#include "evercert/text.h"

namespace evercert {

enum class Colour { plain, good, busy, bad };

std::string coloured(const std::string& text, Colour colour, bool wanted);

// A JSON text that parse_json() took, as ASCII: what is not, is escaped (RFC 8259 section 7), so that no terminal acts on it.
std::string printable_json(const std::string& json);

// "0.4 s", "75 s"
std::string seconds_text(double seconds);

}  // namespace evercert
