// When a certificate is due, by its lifetime alone, and the guard against renewing too often. Pure functions; the renewal job
// and the status page ask them.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace evercert {

using Time = std::chrono::system_clock::time_point;

struct Lifetime {
  Time not_before;
  Time not_after;
  [[nodiscard]] std::chrono::system_clock::duration length() const { return not_after - not_before; }
};

// The moment at which a third of the lifetime is left (half of it under ten days), earlier by up to 2 % of the lifetime: the
// same each time for one generation of one certificate, different between certificates.
Time due_time(const Lifetime& lifetime, std::string_view certificate, std::uint64_t generation);
// "two thirds of its life are over"
std::string due_reason(const Lifetime& lifetime);

// 1 at not_before, 0 at not_after and later.
double remaining_share(const Lifetime& lifetime, Time now);
// Less than a twentieth of the lifetime is left: every loud means, the shortest pauses.
bool is_emergency(const Lifetime& lifetime, Time now);

// A certificate that was issued; the storm guard counts them per set of names.
struct Issue {
  Time at;
  std::chrono::seconds lifetime;
};
// Until when the guard forbids another order for the same names: max(1 h, 2 % of the lifetime) after a success, and three in
// 24 hours. A certificate that lives shorter than that would never be renewed, so the pause is at most a quarter of the
// lifetime, and of what was left of it when it came, and the 24 hours at most one lifetime. `ends`: of what was issued and is
// there to be served; where it was lost, only the three in 24 hours hold. nullopt: go ahead.
std::optional<Time> guarded_until(std::vector<Issue> issues, Time now, std::optional<Time> ends);

// Smaller is more urgent. Expired and nearly expired first, then those that never existed, then by the share that is left.
double urgency(const std::optional<Lifetime>& lifetime, Time now);

}  // namespace evercert
