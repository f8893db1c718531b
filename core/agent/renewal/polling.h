// When to ask the CA how an order is getting on: as soon as its validation requests were seen to arrive, else by a widening
// row of pauses. What one order teaches (how many requests a validation takes, how long issuing takes) helps the next.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "agent/renewal/schedule.h"

namespace evercert {

// What earlier orders taught about an issuer. Guarded by the owner.
struct Experience {
  std::uint32_t hits_per_challenge = 0;  // 0: unknown
};

class Polling {
 public:
  enum class For { validation, issuance, people };
  // Waiting begins now. `challenges`: how many were responded to.
  void begin(For what, std::size_t challenges, Time now);
  // The same for an order that has been waited for before: a new row only when it has come further than ever (`onward`), or
  // the first few times that its state changes; else the old row goes on, so that no CA can make it short again
  // and again. True: a new row.
  bool begin_again(For what, std::size_t challenges, Time now, bool onward);
  [[nodiscard]] bool waiting() const { return what_.has_value(); }
  [[nodiscard]] bool waits_for(For what) const { return what_ == what; }
  // Nothing is waited for; the row is remembered.
  void end() { what_.reset(); }

  // All validation requests seen so far for this order.
  void saw(std::uint32_t hits, Time now);
  // The CA was asked and had no news. `retry_after`: its own wish, obeyed from a second (after two minutes: from a minute) up
  // to five minutes.
  void polled(std::optional<std::chrono::seconds> retry_after, Time now);
  // The clock was turned back by `by` (negative): what lies after `seen`, the last that was read off it, moves along.
  void follow_clock(Time seen, std::chrono::system_clock::duration by);
  // When to ask next; `random` in 0 … 1.
  [[nodiscard]] Time next(const Experience& experience, double random) const;

  [[nodiscard]] std::uint32_t hits() const { return hits_; }
  [[nodiscard]] std::size_t challenges() const { return challenges_; }

 private:
  std::optional<For> what_;
  std::optional<For> last_what_;
  unsigned new_rows_ = 0;
  std::size_t challenges_ = 0;
  Time begun_;
  Time last_;
  Time last_hit_;
  std::uint32_t hits_ = 0;
  std::uint32_t hits_when_polled_ = 0;
  unsigned polls_ = 0;
  unsigned polls_since_hit_ = 0;
  unsigned patient_polls_ = 0;
  std::optional<std::chrono::seconds> retry_after_;
};

}  // namespace evercert
