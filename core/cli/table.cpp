#include "cli/table.h"

#include <algorithm>

namespace evercert {
namespace {

// Where the character begins that comes after `count` others.
std::size_t offset_of(std::string_view text, std::size_t count) {
  std::size_t at = 0;
  for (; at < text.size(); ++at) {
    const bool begins = (static_cast<unsigned char>(text[at]) & 0xc0U) != 0x80U;
    if (begins && count-- == 0) break;
  }
  return at;
}

}  // namespace

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0U) != 0x80U; }));
}

std::string shortened(const std::string& text, std::size_t width) {
  if (width_of(text) <= width) return text;
  return width < 2 ? std::string(width, '.') : text.substr(0, offset_of(text, width - 2)) + "..";
}

std::string wrapped(std::string_view text, std::size_t columns, std::size_t first, std::size_t others) {
  std::string lines(first, ' ');
  std::size_t used = first;
  bool begun = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find_first_of(" \n", at), text.size());
    const std::string_view word = text.substr(at, end - at);
    const std::size_t width = width_of(word);
    if (begun && columns != 0 && used + 1 + width > columns) {
      lines += "\n" + std::string(others, ' ');
      used = others;
    } else if (begun) {
      lines += ' ';
      ++used;
    }
    lines += word;
    used += width;
    begun = true;
    at = end + 1;
    if (end < text.size() && text[end] == '\n') {
      lines += "\n" + std::string(others, ' ');
      used = others;
      begun = false;
    }
  }
  return lines;
}

std::string relative_time(std::chrono::system_clock::time_point time, std::chrono::system_clock::time_point now) {
  const auto span = std::chrono::duration_cast<std::chrono::seconds>(time - now).count();
  const std::int64_t size = span < 0 ? -span : span;
  constexpr std::int64_t minute = 60;
  constexpr std::int64_t hour = 60 * minute;
  constexpr std::int64_t day = 24 * hour;
  if (size < 1) return "now";
  const std::string text = size >= 2 * day      ? std::to_string(size / day) + " d"
                           : size >= 2 * hour   ? std::to_string(size / hour) + " h"
                           : size >= 2 * minute ? std::to_string(size / minute) + " min"
                                                : std::to_string(size) + " s";
  return span < 0 ? text + " ago" : "in " + text;
}

}  // namespace evercert
