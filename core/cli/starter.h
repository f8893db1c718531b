// The server that was started with a state directory, found by what its processes hold open.
#pragma once

#include <optional>
#include <string>

namespace evercert {

// A server that was started with a state directory: it keeps the file "leader" in it open for its agents.
struct Starter {
  int pid = 0;
  std::string name;       // "nginx", "Apache", "HAProxy"
  std::string error_log;  // a path; empty: not known
};
// nullopt: none runs, or we may not look into the processes of its user.
std::optional<Starter> starter_of(const std::string& state_path);
// Whether any process but ours does so, as agents do, too; false where we may not look.
bool leader_file_is_held(const std::string& state_path);

}  // namespace evercert
