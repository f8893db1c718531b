#include "agent/observe/utf8.h"

#include <algorithm>
#include <cstdint>

namespace evercert {
namespace {

// RFC 3629 section 4: what may follow a lead byte; neither longer forms than needed nor surrogates.
struct Range {
  std::uint8_t low = 0x80;
  std::uint8_t high = 0xbf;
};

Range second_byte(std::uint8_t lead) {
  switch (lead) {
    case 0xe0:
      return {0xa0, 0xbf};
    case 0xed:
      return {0x80, 0x9f};
    case 0xf0:
      return {0x90, 0xbf};
    case 0xf4:
      return {0x80, 0x8f};
    default:
      return {};
  }
}

// The length of the well-formed sequence at the start of `text`, 0 when there is none.
std::size_t sequence_length(std::string_view text) {
  const auto lead = static_cast<std::uint8_t>(text[0]);
  if (lead < 0x80) {
    return 1;
  }
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) {
    return 0;
  }
  for (std::size_t index = 1; index < length; ++index) {
    const auto next = static_cast<std::uint8_t>(text[index]);
    const Range range = index == 1 ? second_byte(lead) : Range();
    if (next < range.low || next > range.high) {
      return 0;
    }
  }
  return length;
}

}  // namespace

std::string valid_utf8(std::string_view text) {
  // Nearly all text is ASCII.
  if (std::all_of(text.begin(), text.end(), [](char letter) { return static_cast<std::uint8_t>(letter) < 0x80; })) {
    return std::string(text);
  }
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    if (length == 0) {
      valid += "\xef\xbf\xbd";
      text.remove_prefix(1);
    } else {
      valid += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return valid;
}

}  // namespace evercert
