// A clock that tests turn by hand.
#pragma once

#include <atomic>

#include "serving/base/clock.h"

namespace evercert {

class FakeClock : public Clock {
 public:
  [[nodiscard]] std::chrono::system_clock::time_point now() const override {
    return std::chrono::system_clock::time_point(std::chrono::milliseconds(milliseconds_.load()));
  }
  void advance(std::chrono::milliseconds by) { milliseconds_ += by.count(); }

 private:
  std::atomic<std::int64_t> milliseconds_{std::int64_t{1'800'000'000} * 1000};
};

}  // namespace evercert
