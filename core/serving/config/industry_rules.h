// What the rules of the CA/Browser Forum (TLS Baseline Requirements 2.2.6, sections 1.2.2, 4.2.1 and 6.3.2) allow public CAs,
// by date: how long a certificate lives, how long a validation may be used again, which ways of proving end. Read by the
// configuration's check and by what the status says of commercial CAs.
// Rule: the dates stand here and nowhere else.
#pragma once

#include <array>
#include <chrono>
#include <optional>
#include <string>

#include "evercert/plan.h"

namespace evercert {

struct LifetimeRule {
  std::chrono::sys_days from;  // for certificates issued on this day and later
  unsigned longest_days;       // of the certificate
  unsigned reuse_days;         // of a validation of a name
};

inline constexpr std::array<LifetimeRule, 4> lifetime_rules{{{std::chrono::year{2020} / 9 / 1, 398, 398},
                                                             {std::chrono::year{2026} / 3 / 15, 200, 200},
                                                             {std::chrono::year{2027} / 3 / 15, 100, 100},
                                                             {std::chrono::year{2029} / 3 / 15, 47, 10}}};

struct MethodEnd {
  ChallengeKind kind;
  std::chrono::sys_days on;  // not used, and not relied on, from this day
};
inline constexpr std::array<MethodEnd, 1> method_ends{{{ChallengeKind::email, std::chrono::year{2028} / 3 / 15}}};

// The rule at that time, and the next one if there is any.
const LifetimeRule& lifetime_rule(std::chrono::system_clock::time_point at);
const LifetimeRule* next_lifetime_rule(std::chrono::system_clock::time_point at);
std::optional<std::chrono::sys_days> end_of_method(ChallengeKind kind);
std::string day_text(std::chrono::sys_days day);  // 2028-03-15

// "certificates of at most 200 days, 100 from 2027-03-15; mail proves names until 2028-03-15": what binds at that time.
std::string rules_text(std::chrono::system_clock::time_point at, bool by_mail);

}  // namespace evercert
