// How often the status pages are written: five times a second at most, and with ten thousand certificates, whose pages are
// work, so seldom that at most a tenth of a processor goes into it. Only work counts: an agent that had to wait for the
// processor or the disk while it wrote must not let the status lag behind what is served for ten times as long.
#pragma once

#include <time.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <utility>

namespace evercert {

inline std::chrono::nanoseconds processor_time_of_this_thread() {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

class PagePace {
 public:
  // `worked`: the processor time that this thread has used; replaced in tests.
  explicit PagePace(std::function<std::chrono::nanoseconds()> worked) : worked_(std::move(worked)) {}

  // Around a writing of pages.
  void begin() { begun_ = worked_(); }
  void end(std::chrono::steady_clock::time_point now) {
    written_ = now;
    pause_ = std::clamp(std::chrono::ceil<std::chrono::milliseconds>((worked_() - begun_) * 10), shortest, longest);
  }

  // From now until pages may be written again; at least a millisecond, so that what happens together is told together.
  [[nodiscard]] std::chrono::milliseconds left(std::chrono::steady_clock::time_point now) const {
    const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(now - written_);
    return std::max(pause_ - passed, std::chrono::milliseconds(1));
  }
  [[nodiscard]] std::chrono::steady_clock::time_point written() const { return written_; }

 private:
  static constexpr std::chrono::milliseconds shortest{200};
  static constexpr std::chrono::milliseconds longest{10000};
  std::function<std::chrono::nanoseconds()> worked_;
  std::chrono::nanoseconds begun_{};
  std::chrono::steady_clock::time_point written_{};
  std::chrono::milliseconds pause_ = shortest;
};

}  // namespace evercert
