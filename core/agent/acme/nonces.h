// The nonces an ACME server has given us for requests to come (RFC 8555 section 6.5). Newest first, since servers forget the
// oldest; each is handed out once. Thread-safe.
//
// Few of them go round: an order that finds none left waits a moment for one that another order's request brings back, because
// fetching one costs a request, and orders wait for validations most of their time. Beyond that moment a slow request of
// one order must not hold up the others.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "serving/base/clock.h"

namespace evercert {

class Nonces {
 public:
  static constexpr std::size_t capacity = 32;
  static constexpr std::size_t enough = 3;  // so many requests at once fetch nonces without waiting
  static constexpr std::chrono::minutes lifetime{10};
  static constexpr std::chrono::milliseconds patience{100};  // about what fetching one takes

  // One request that needs a nonce, from before it has one to its answer.
  class Turn {
   public:
    explicit Turn(Nonces& nonces) : nonces_(nonces) {}
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn();
    // nullopt: fetch one. Waits up to `patience` while `enough` other turns have one each; `stop` ends the waiting.
    [[nodiscard]] std::optional<std::string> take(const std::stop_token& stop);

   private:
    Nonces& nonces_;
    bool counted_ = false;
  };

  explicit Nonces(const Clock& clock) : clock_(clock) {}
  // What is not base64url (RFC 8555 section 6.5.1) is not kept.
  void put(std::string nonce);
  void clear();

 private:
  struct Kept {
    std::string nonce;
    std::chrono::system_clock::time_point since;
  };
  void drop_old();

  const Clock& clock_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Kept> kept_;  // oldest in front
  std::size_t turns_ = 0;  // that have a nonce or fetch one
};

}  // namespace evercert
