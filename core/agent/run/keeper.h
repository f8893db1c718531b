// The program `evercert keep`: holds what an agent needs, starts the agent when the first serving process of a server says so,
// and again whenever it is lost. Ends with the server's last process that holds the channel.
#pragma once

#include <string>

namespace evercert {

// `program`: what to start. 0: the server has gone; 1: failed.
int run_keeper(int descriptor, const std::string& program);

}  // namespace evercert
