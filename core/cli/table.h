// What fits on a terminal: widths in characters, words that wrap, times that count from now.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace evercert {

// Of text that passed printable().
std::size_t width_of(std::string_view text);
// At most `width` characters; what is cut ends in "..".
std::string shortened(const std::string& text, std::size_t width);
// Broken between words so that no line is wider than `columns` (0: never broken); the first line begins with `first` blanks,
// the others with `others`. A word that is wider stands on a line of its own.
std::string wrapped(std::string_view text, std::size_t columns, std::size_t first = 0, std::size_t others = 0);

// "in 79 d", "in 3 h", "5 min ago", "now"
std::string relative_time(std::chrono::system_clock::time_point time, std::chrono::system_clock::time_point now);

}  // namespace evercert
