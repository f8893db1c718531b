// The program `evercert run`, as the command line starts it.
#pragma once

#include <string>

namespace evercert {

struct RunOptions {
  int descriptor = -1;      // started by a server: the channel to it
  std::string config_file;  // without a server: evercert.json
  std::string state_path;   // instead of the file's
};

// 0: the server has gone or we were asked to end; 1: failed; 3: the configuration is refused. Never 2 under a server: nginx
// takes that for one of its own codes.
int run_program(const RunOptions& options);

}  // namespace evercert
