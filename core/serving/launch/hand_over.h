// What the starter sends down the agent's channel.
#pragma once

#include "evercert/launch.h"

namespace evercert {

// The descriptors, once the agent is protected.
Result<Done> hand_over(int channel, const Instance& instance, const Cycle& cycle);
// {"again":PROGRAM}, with the program's copy where there is one. Errors: connection.
Result<Done> tell_again(int channel, const Supervisor::Program& program);

}  // namespace evercert
