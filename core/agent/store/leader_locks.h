// Locks of the store: single bytes of state_path/leader (evercert/leader_file.h), far behind its content. Only a starter hands
// that file out, so the user whom the store belongs to cannot hold one against the agent; a file below state/ he could lock.
// A process's own (POSIX record locks), for the reason that election.h gives; threads of one process exclude each other here.
// The kernel frees them whatever way their holder dies.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string_view>

#include "agent/store/store.h"

namespace evercert {

// The byte that stands for a name.
off_t leader_byte_of(std::string_view name);
// `leader_file` stays with its owner, as at Election. A null pointer: held by another after `wait`, or stopped. Thread-safe.
// Errors: storage.
Result<std::unique_ptr<StoreLock>> lock_leader_byte(int leader_file, off_t byte, std::chrono::milliseconds wait,
                                                    const std::stop_token& stop);
// The process that holds it, if another does; 0: one that is not to be seen from here.
std::optional<pid_t> holder_of_leader_byte(int leader_file, off_t byte);

}  // namespace evercert
