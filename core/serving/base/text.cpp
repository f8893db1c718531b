#include "evercert/text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>

namespace evercert {
namespace {

constexpr std::string_view cut_mark = "...";

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

struct Character {
  std::uint32_t code = 0;
  std::size_t length = 0;  // in bytes; 0: the text does not begin with a well-formed one
};

Character first_character(std::string_view text) {
  const auto lead = static_cast<std::uint8_t>(text[0]);
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return {};
  std::uint32_t code = lead & (0x7fU >> length);
  for (std::size_t index = 1; index < length; ++index) {
    const auto next = static_cast<std::uint8_t>(text[index]);
    const Range range = index == 1 ? second_byte(lead) : Range();
    if (next < range.low || next > range.high) return {};
    code = code << 6 | (next & 0x3fU);
  }
  return {code, length};
}

// Unicode 15: the general categories Cc, Cf, Zl and Zp, what is ignored by default, and what is no character.
bool is_unseen(std::uint32_t code) {
  struct Span {
    std::uint32_t first;
    std::uint32_t last;
  };
  static constexpr std::array spans{
      Span{0x00, 0x1f},       Span{0x7f, 0x9f},       Span{0xad, 0xad},       Span{0x34f, 0x34f},     Span{0x600, 0x605},
      Span{0x61c, 0x61c},     Span{0x6dd, 0x6dd},     Span{0x70f, 0x70f},     Span{0x890, 0x891},     Span{0x8e2, 0x8e2},
      Span{0x115f, 0x1160},   Span{0x17b4, 0x17b5},   Span{0x180b, 0x180f},   Span{0x200b, 0x200f},   Span{0x2028, 0x202e},
      Span{0x2060, 0x206f},   Span{0x3164, 0x3164},   Span{0xfe00, 0xfe0f},   Span{0xfeff, 0xfeff},   Span{0xffa0, 0xffa0},
      Span{0xfff0, 0xfffb},   Span{0xfffe, 0xffff},   Span{0x110bd, 0x110bd}, Span{0x110cd, 0x110cd}, Span{0x13430, 0x1343f},
      Span{0x1bca0, 0x1bca3}, Span{0x1d173, 0x1d17a}, Span{0xe0000, 0xe0fff}};
  return std::any_of(spans.begin(), spans.end(), [code](Span span) { return code >= span.first && code <= span.last; });
}

bool is_plain_letter(char letter) {
  return letter >= 0x20 && letter < 0x7f;
}

std::string escape_of(const char* format, std::uint32_t number) {
  std::array<char, 16> text{};
  static_cast<void>(std::snprintf(text.data(), text.size(), format, static_cast<unsigned>(number)));
  return text.data();
}

std::string shown_as(std::string_view bytes, const Character& character) {
  if (character.length == 0) return escape_of("\\x%02x", static_cast<std::uint8_t>(bytes[0]));
  if (character.code == '\t' || character.code == '\n' || character.code == '\r') return " ";
  if (!is_unseen(character.code)) return std::string(bytes.substr(0, character.length));
  return escape_of(character.code < 0x80 ? "\\x%02x" : "\\u%04x", character.code);
}

}  // namespace

std::string printable(std::string_view text, std::size_t limit) {
  // Nearly all text is short and ASCII.
  if (text.size() <= limit && std::all_of(text.begin(), text.end(), is_plain_letter)) return std::string(text);
  std::string safe;
  safe.reserve(std::min(text.size(), limit));
  // Where to cut, should it grow too long: behind the last piece that leaves room for the mark.
  std::size_t cut = 0;
  while (!text.empty()) {
    const Character character = first_character(text);
    safe += shown_as(text, character);
    if (safe.size() > limit) {
      safe.resize(cut);
      safe += cut_mark.substr(0, limit);
      return safe;
    }
    if (safe.size() + cut_mark.size() <= limit) cut = safe.size();
    text.remove_prefix(std::max<std::size_t>(character.length, 1));
  }
  return safe;
}

}  // namespace evercert
