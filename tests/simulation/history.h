// What happened in a simulated world, for a person to read when a rule was broken. A sum of it is kept always, so that two runs
// of one seed can be compared; its lines are made only when somebody will read them.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "agent/observe/status_report.h"
#include "simulation/times.h"

namespace evercert::simulation {

// A rule of the product is broken.
class Broken : public std::runtime_error {
 public:
  explicit Broken(const std::string& sentence) : std::runtime_error(sentence) {}
};

// A process ends here, whatever it was doing. Nothing of the product may catch it.
struct Killed {};

class History {
 public:
  History(const Times& times, bool told) : times_(times), told_(told) {}

  [[nodiscard]] bool told() const { return told_; }
  void sum(std::string_view word) {
    for (const char letter : word) sum_ = (sum_ ^ static_cast<unsigned char>(letter)) * 0x100000001b3ULL;
    sum_ = (sum_ ^ static_cast<std::uint64_t>(times_.now.time_since_epoch().count())) * 0x100000001b3ULL;
  }
  // `who` did `what`; `more` is called only when it is told.
  template <typename More>
  void add(std::string_view who, std::string_view what, More more) {
    sum(what);
    if (told_) line(who, what, more());
  }
  void add(std::string_view who, std::string_view what) {
    add(who, what, [] { return std::string(); });
  }
  [[nodiscard]] std::uint64_t sum() const { return sum_; }
  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }

 private:
  void line(std::string_view who, std::string_view what, const std::string& more) {
    std::string text = to_rfc3339(times_.now);
    const auto part = std::chrono::duration_cast<std::chrono::milliseconds>(times_.now.time_since_epoch()).count() % 1000;
    text.insert(text.size() - 1, "." + std::to_string(1000 + part).substr(1));
    if (times_.offset.count() != 0) text += " (its clock " + to_rfc3339(times_.machine()) + ")";
    lines_.push_back(text + "  " + std::string(who) + "  " + std::string(what) + (more.empty() ? "" : ": " + more));
  }

  const Times& times_;
  bool told_;
  std::uint64_t sum_ = 0xcbf29ce484222325ULL;
  std::vector<std::string> lines_;
};

}  // namespace evercert::simulation
