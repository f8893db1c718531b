// A logger that keeps its lines.
#pragma once

#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "evercert/log.h"

namespace evercert {

class KeptLog : public Logger {
 public:
  void write(LogLevel level, std::string_view line) override {
    const std::lock_guard guard(mutex_);
    lines_.emplace_back(level, line);
  }
  [[nodiscard]] std::vector<std::pair<LogLevel, std::string>> lines() const {
    const std::lock_guard guard(mutex_);
    return lines_;
  }
  // The line that holds `words`, or empty.
  [[nodiscard]] std::string line_with(std::string_view words) const {
    for (const auto& [level, line] : lines())
      if (line.find(words) != std::string::npos) return line;
    return {};
  }
  [[nodiscard]] std::string all() const {
    std::string text;
    for (const auto& [level, line] : lines()) text += line + "\n";
    return text;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::pair<LogLevel, std::string>> lines_;
};

}  // namespace evercert
