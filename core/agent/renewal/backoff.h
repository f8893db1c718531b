// How long to wait after an error, by its kind: the one table of pauses. The reasons are in docs/decisions; the figures for
// challenges keep below Let's Encrypt's five failures an hour. Nothing is longer than a day and a tenth, whatever a CA wishes.
#pragma once

#include <chrono>
#include <optional>

#include "evercert/result.h"

namespace evercert {

struct BackoffQuery {
  const Error& error;
  unsigned failures = 1;       // of this kind in a row, this one included
  double remaining_share = 0;  // of the certificate that is served; 0 when there is none
  bool emergency = false;      // it is about to expire
  double random = 0.5;         // 0 … 1
};
std::chrono::milliseconds backoff_pause(const BackoffQuery& query);

// After a step that the CA answered by sending the order back, or by leaving it where it was: the first such, the second …
std::chrono::milliseconds setback_pause(unsigned setbacks);

// RFC 8555 section 6.7: "caa" and the like, the last component of a problem's type; empty when there is none.
std::string problem_word(const Error& error);

}  // namespace evercert
