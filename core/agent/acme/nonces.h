// The nonces an ACME server has given us for requests to come (RFC 8555 section 6.5). Newest first, since servers forget the
// oldest; each is handed out once. Thread-safe.
#pragma once

#include <chrono>
#include <deque>
#include <mutex>
#include <optional>
#include <string>

#include "serving/base/clock.h"

namespace evercert {

class Nonces {
 public:
  static constexpr std::size_t capacity = 32;
  static constexpr std::chrono::minutes lifetime{10};

  explicit Nonces(const Clock& clock) : clock_(clock) {}
  // What is not base64url (RFC 8555 section 6.5.1) is not kept.
  void put(std::string nonce);
  [[nodiscard]] std::optional<std::string> take();
  void clear();

 private:
  struct Kept {
    std::string nonce;
    std::chrono::system_clock::time_point since;
  };
  const Clock& clock_;
  std::mutex mutex_;
  std::deque<Kept> kept_;  // oldest in front
};

}  // namespace evercert
