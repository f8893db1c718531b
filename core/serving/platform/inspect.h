// Looks at another process from outside, by what /proc says of it.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "evercert/result.h"

namespace evercert {

// Whether secrets may be handed to this process: it is not dumpable and nobody traces it.
//
// The kernel gives the files of /proc/PID (not the directory) to root as soon as a process is undumpable, for every user and
// also where nothing is privileged; they show the process's own user otherwise. Of a process of root nothing can be told this
// way, but then only root could look into it. Where /proc is mounted with hidepid, an undumpable process of our own user is
// invisible to us, while a dumpable one is not: being invisible is the proof there.
Result<Done> check_protected(pid_t pid);

// Whether its main thread is in an uninterruptible sleep, as proc(5) has it: nearly always for a disk. False also where that
// cannot be seen.
bool waits_for_a_disk(pid_t pid);
// Whether it was stopped by a signal, or a tracer holds it. False also where that cannot be seen.
bool is_stopped(pid_t pid);
// Whether `number` is what it is called here or calls itself, as in a container. True also where that cannot be seen.
bool is_called(pid_t pid, std::uint64_t number);

}  // namespace evercert
