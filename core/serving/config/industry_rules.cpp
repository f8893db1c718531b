#include "serving/config/industry_rules.h"

#include <algorithm>
#include <cstdio>

namespace evercert {

const LifetimeRule& lifetime_rule(std::chrono::system_clock::time_point at) {
  const LifetimeRule* rule = &lifetime_rules.front();
  for (const auto& one : lifetime_rules) {
    if (one.from <= at) rule = &one;
  }
  return *rule;
}

const LifetimeRule* next_lifetime_rule(std::chrono::system_clock::time_point at) {
  const auto next =
      std::find_if(lifetime_rules.begin(), lifetime_rules.end(), [&](const LifetimeRule& one) { return one.from > at; });
  return next == lifetime_rules.end() ? nullptr : &*next;
}

std::optional<std::chrono::sys_days> end_of_method(ChallengeKind kind) {
  for (const auto& one : method_ends) {
    if (one.kind == kind) return one.on;
  }
  return std::nullopt;
}

std::string day_text(std::chrono::sys_days day) {
  const std::chrono::year_month_day date(day);
  std::array<char, 32> text{};
  static_cast<void>(std::snprintf(text.data(), text.size(), "%04d-%02u-%02u", static_cast<int>(date.year()),
                                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day())));
  return text.data();
}

std::string rules_text(std::chrono::system_clock::time_point at, bool by_mail) {
  std::string text = "certificates of at most " + std::to_string(lifetime_rule(at).longest_days) + " days";
  if (const LifetimeRule* next = next_lifetime_rule(at)) {
    text += ", " + std::to_string(next->longest_days) + " from " + day_text(next->from);
  }
  if (const auto end = end_of_method(ChallengeKind::email); by_mail && end) {
    text += *end > at ? "; mail proves names until " + day_text(*end) : "; mail proves no name since " + day_text(*end);
  }
  return text;
}

}  // namespace evercert
