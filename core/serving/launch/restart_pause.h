// How long to wait before a lost agent is started again.
#pragma once

#include <algorithm>
#include <chrono>

namespace evercert {

class RestartPause {
 public:
  static constexpr std::chrono::milliseconds first{50};
  static constexpr std::chrono::milliseconds longest{60000};

  // `lived`: from its start to its end.
  void lost(std::chrono::steady_clock::duration lived) {
    const bool fresh = pause_ == std::chrono::milliseconds::zero() || lived >= std::chrono::minutes(1);
    pause_ = fresh ? first : std::min(pause_ * 2, longest);
    in_a_row_ = fresh ? 1 : in_a_row_ + 1;
  }
  // Of losses in a row the first, and later about one an hour: nobody reads the same line twice a second.
  [[nodiscard]] bool worth_telling() const { return in_a_row_ <= 1 || in_a_row_ % 64 == 0; }
  [[nodiscard]] std::chrono::milliseconds value() const { return pause_; }

 private:
  std::chrono::milliseconds pause_{0};
  unsigned in_a_row_ = 0;
};

}  // namespace evercert
