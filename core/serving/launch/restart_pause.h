// How long to wait before a lost agent is started again.
#pragma once

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>

namespace evercert {

class RestartPause {
 public:
  static constexpr std::chrono::milliseconds first{50};
  static constexpr std::chrono::milliseconds longest{60000};

  // `lived`: from its start to its end. `how`: "with exit code 127", or empty where nobody knows.
  void lost(std::chrono::steady_clock::duration lived, std::string_view how = {}) {
    const bool fresh = pause_ == std::chrono::milliseconds::zero() || lived >= std::chrono::minutes(1);
    pause_ = fresh ? first : std::min(pause_ * 2, longest);
    const bool other = !how.empty() && how != how_;
    in_a_row_ = fresh || other ? 1 : in_a_row_ + 1;
    if (!how.empty()) how_ = how;
  }
  // Of losses in a row, each as the one before, the first, and later about one an hour: nobody reads the same line twice a
  // second.
  [[nodiscard]] bool worth_telling() const { return in_a_row_ <= 1 || in_a_row_ % 64 == 0; }
  [[nodiscard]] std::chrono::milliseconds value() const { return pause_; }

 private:
  std::chrono::milliseconds pause_{0};
  unsigned in_a_row_ = 0;
  std::string how_;
};

}  // namespace evercert
