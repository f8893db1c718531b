#include "agent/renewal/schedule.h"

#include <algorithm>

#include "serving/base/encoding.h"

namespace evercert {
namespace {

constexpr std::chrono::hours short_life{10 * 24};

// Evenly spread over 0 … 1 and the same for the same words.
double share_of(std::string_view certificate, std::uint64_t generation) {
  const std::string text = std::string(certificate) + "\n" + std::to_string(generation);
  const Bytes digest = sha256({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < 4; ++i) number = (number << 8U) | digest[i];
  return static_cast<double>(number) / 4294967296.0;
}

std::chrono::system_clock::duration scaled(std::chrono::system_clock::duration length, double share) {
  using Seconds = std::chrono::duration<double>;
  return std::chrono::duration_cast<std::chrono::system_clock::duration>(
      Seconds(std::chrono::duration_cast<Seconds>(length).count() * share));
}

}  // namespace

Time due_time(const Lifetime& lifetime, std::string_view certificate, std::uint64_t generation) {
  const auto length = lifetime.length();
  const auto left = length < short_life ? length / 2 : length / 3;
  return lifetime.not_after - left - scaled(length, 0.02 * share_of(certificate, generation));
}

std::string due_reason(const Lifetime& lifetime) {
  return lifetime.length() < short_life ? "half of its life is over" : "two thirds of its life are over";
}

double remaining_share(const Lifetime& lifetime, Time now) {
  using Seconds = std::chrono::duration<double>;
  const double length = std::chrono::duration_cast<Seconds>(lifetime.length()).count();
  if (length <= 0) return 0;
  const double left = std::chrono::duration_cast<Seconds>(lifetime.not_after - now).count();
  return std::clamp(left / length, 0.0, 1.0);
}

bool is_emergency(const Lifetime& lifetime, Time now) {
  return remaining_share(lifetime, now) < 0.05;
}

std::optional<Time> guarded_until(std::vector<Issue> issues, Time now, std::optional<Time> ends) {
  // A time in the future is a clock that was turned back: it must neither block renewal for ever, nor hide what came since.
  std::erase_if(issues, [&](const Issue& issue) { return issue.at > now + std::chrono::hours(1); });
  if (issues.empty()) return std::nullopt;
  const auto newest =
      std::max_element(issues.begin(), issues.end(), [](const Issue& a, const Issue& b) { return a.at < b.at; });
  const std::chrono::seconds pause = std::min<std::chrono::seconds>(
      std::max<std::chrono::seconds>(std::chrono::hours(1), newest->lifetime / 50), newest->lifetime / 4);
  Time until = now;
  if (ends) until = newest->at + pause;
  // What ended before may be the one before: who publishes hears of it a moment later.
  if (ends && *ends > newest->at) until = std::min(until, newest->at + (*ends - newest->at) / 4);
  const std::chrono::seconds window = std::min<std::chrono::seconds>(std::chrono::hours(24), newest->lifetime);
  std::vector<Time> recent;
  for (const auto& issue : issues) {
    if (issue.at > now - window) recent.push_back(issue.at);
  }
  std::sort(recent.begin(), recent.end());
  constexpr std::size_t allowed = 3;
  if (recent.size() >= allowed) until = std::max(until, recent[recent.size() - allowed] + window);
  if (until <= now) return std::nullopt;
  return until;
}

double urgency(const std::optional<Lifetime>& lifetime, Time now) {
  // Nothing is served under a name that never had a certificate: only what is about to stop being served goes first.
  constexpr double never_existed = 0.05;
  return lifetime ? remaining_share(*lifetime, now) : never_existed;
}

}  // namespace evercert
