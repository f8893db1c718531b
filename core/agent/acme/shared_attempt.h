// An attempt that many threads need once: one makes it, the others wait, and when it fails they have its error instead of
// making it again one after the other, each for as long as a time-out. Used by AcmeServer and Account. Thread-safe.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <utility>

#include "evercert/result.h"

namespace evercert {

class SharedAttempt {
 public:
  struct Turn {
    std::unique_lock<std::mutex> lock;  // held for as long as the attempt is under way
    std::optional<Error> failed;        // of the attempt that was waited for
  };
  // Waits for whoever has the turn. What else the turn's holder guards by it may be used as under any mutex.
  Turn take() {
    const unsigned before = failures_;
    Turn turn{std::unique_lock(mutex_), std::nullopt};
    if (failures_ != before) turn.failed = error_;
    return turn;
  }
  // With the turn: tells those who wait.
  Error fail(Error error) {
    error_ = error;
    ++failures_;
    return error;
  }

 private:
  std::mutex mutex_;
  std::atomic<unsigned> failures_{0};
  std::optional<Error> error_;
};

}  // namespace evercert
