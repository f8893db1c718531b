// Time in a simulated world: how late it is, and how late the machine of the servers takes it to be.
#pragma once

#include <chrono>

#include "serving/base/clock.h"

namespace evercert::simulation {

using Time = std::chrono::system_clock::time_point;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
constexpr hours day{24};

struct Times {
  Time now{seconds(1'800'000'000)};
  milliseconds offset{0};
  [[nodiscard]] Time machine() const { return now + offset; }
};

class MachineClock : public Clock {
 public:
  explicit MachineClock(const Times& times) : times_(times) {}
  [[nodiscard]] Time now() const override { return times_.machine(); }

 private:
  const Times& times_;
};

}  // namespace evercert::simulation
