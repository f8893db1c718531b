// The seam for time: the agent decides by it when to renew, retry and expire. Tests turn it by hand.
#pragma once

#include <chrono>

namespace evercert {

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual std::chrono::system_clock::time_point now() const = 0;
};

class SystemClock : public Clock {
 public:
  [[nodiscard]] std::chrono::system_clock::time_point now() const override { return std::chrono::system_clock::now(); }
};

}  // namespace evercert
