// What a process does to itself so that others of the same user cannot look into it.
#include <linux/capability.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>

#include "evercert/launch.h"
#include "serving/platform/files.h"

namespace evercert {

namespace {

std::atomic<bool> forks_guarded{false};
std::atomic<bool> handler_installed{false};

// Runs in every child directly after fork: only calls that are safe there.
void keep_capabilities_in_child() {
  if (forks_guarded.load(std::memory_order_relaxed)) ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
}

// By system call: libcap would be one more library in every server process.
Result<Done> reduce_permitted_to_effective() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0)
    return system_error(ErrorKind::internal, "cannot read this process's capabilities", errno);
  for (auto& set : sets) set.permitted = set.effective;
  if (::syscall(SYS_capset, &header, sets.data()) != 0)
    return system_error(ErrorKind::internal, "cannot give up this process's capabilities", errno);
  return Done{};
}

}  // namespace

Result<Done> make_undumpable() {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
    return system_error(ErrorKind::internal, "cannot make this process undumpable", errno);
  if (::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
    return Error{ErrorKind::internal, "this process is still dumpable after it was made undumpable"};
  return Done{};
}

Result<Done> guard_forks() {
  if (!handler_installed.exchange(true)) {
    // Bound to the shared object this code is in: unloading that takes the handler away.
    if (const int code = ::pthread_atfork(nullptr, nullptr, keep_capabilities_in_child)) {
      handler_installed = false;
      return system_error(ErrorKind::internal, "cannot guard the forks of this process", code);
    }
  }
  forks_guarded = true;
  return Done{};
}

Result<Done> settle_child() {
  forks_guarded = false;  // what this child forks itself needs no guard
  auto undumpable = make_undumpable();
  auto reduced = reduce_permitted_to_effective();
  if (::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0)
    return system_error(ErrorKind::internal, "cannot stop keeping capabilities", errno);
  return undumpable ? reduced : undumpable;
}

void unguard_forks() {
  if (!forks_guarded.exchange(false)) return;
  // A server that became a daemon after guard_forks() is itself a guarded child, and its children inherit the flag.
  ::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
}

}  // namespace evercert
