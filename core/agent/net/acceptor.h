// Accepting where strangers may connect: a process that has no descriptor left must neither spin on a listener that stays
// readable nor turn away the one connection that matters, so one descriptor is kept in reserve.
#pragma once

#include "evercert/descriptor.h"

namespace evercert {

class Acceptor {
 public:
  Acceptor();

  enum class Outcome {
    accepted,
    on_reserve,  // the last descriptor: end another connection, or this one
    nothing,     // nobody waits any more
    exhausted,   // not even that one: leave the listener alone for a moment
  };
  struct Accepted {
    Outcome outcome = Outcome::nothing;
    Descriptor socket;  // does not block, closes on exec
  };
  // Never waits.
  Accepted accept(int listener);

 private:
  void keep_reserve();
  Descriptor reserve_;
};

}  // namespace evercert
