// The bounds of numbers that come from outside: from a CA, a file, a file's name, a person. Each has a lower and an upper one,
// here or beside its reader, and is held to them where it enters; nothing behind the reader doubts it.
#pragma once

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace evercert {

// Digits only, no sign, within low … high; nullopt for anything else.
inline std::optional<std::uint64_t> whole_number_in(std::string_view text, std::uint64_t low, std::uint64_t high) {
  std::uint64_t number = 0;
  const char* const last = text.data() + text.size();
  const auto [end, fault] = std::from_chars(text.data(), last, number);
  if (text.empty() || fault != std::errc() || end != last || number < low || number > high) return std::nullopt;
  return number;
}

// A generation a second would reach this in nine million years; there is room for one more above it, always.
constexpr std::uint64_t highest_generation = std::uint64_t{1} << 48;
// How far a file that nobody can open may push the numbering on: what lies further ahead is not one of ours.
constexpr std::uint64_t widest_generation_gap = std::uint64_t{1} << 20;

// The clock counts nanoseconds in 64 bits, which ends in 2262, and certificates may say 9999. Moments are held to 1970 … 2255
// (the same whole seconds on every clock), so that the difference of any two, and either with a day added, still fits.
constexpr std::chrono::seconds farthest_moment{9'000'000'000};
inline std::chrono::system_clock::time_point moment_of(std::int64_t seconds_since_1970) {
  return std::chrono::system_clock::time_point(
      std::chrono::seconds(std::clamp<std::int64_t>(seconds_since_1970, 0, farthest_moment.count())));
}
inline std::chrono::system_clock::time_point moment_of_milliseconds(std::int64_t milliseconds_since_1970) {
  return std::chrono::system_clock::time_point(
      std::chrono::milliseconds(std::clamp<std::int64_t>(milliseconds_since_1970, 0, farthest_moment.count() * 1000)));
}

// Whether a moment that was set `longest` ahead at the most is still to come. One that lies further ahead was set by a clock
// that has been turned back since: it says nothing any more, and has come.
inline bool is_still_ahead(std::chrono::system_clock::time_point at, std::chrono::system_clock::time_point now,
                           std::chrono::system_clock::duration longest) {
  return at > now && at - now <= longest;
}
// Whether less than `span` has passed since. A moment in the future was set by such a clock, too: nobody knows how long ago.
inline bool is_recent(std::chrono::system_clock::time_point at, std::chrono::system_clock::time_point now,
                      std::chrono::system_clock::duration span) {
  return at <= now && now - at < span;
}

// What a peer wishes us to wait. Less than a second is no wait; more than a day is a fault or a fashion, and whoever asks once
// a day burdens nobody.
constexpr std::chrono::seconds shortest_wish{1};
constexpr std::chrono::seconds longest_wish{std::chrono::hours(24)};
inline std::chrono::seconds bounded_wish(std::chrono::seconds wish) {
  return std::clamp(wish, shortest_wish, longest_wish);
}

}  // namespace evercert
