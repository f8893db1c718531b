// Dates and times as RFC 3339 writes them.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace evercert {

// "2027-02-18T10:00:00Z", also with parts of a second (which are left out) or another offset than Z (section 5.6); nullopt for
// anything else. Held to the moments of bounds.h.
std::optional<std::chrono::system_clock::time_point> time_in(std::string_view rfc3339);

}  // namespace evercert
