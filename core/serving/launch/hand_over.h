// The starter's side of handing an agent, or its keeper, what it needs.
#pragma once

#include "evercert/launch.h"

namespace evercert {

// One message with all descriptors. Never waits.
Result<Done> hand_over(int channel, const Instance& instance, const Cycle& cycle);

}  // namespace evercert
