// What stands for state_path/leader in tests of a store: one for all stores of a process and of the children it forks.
#pragma once

#include <sys/mman.h>

#include <cstdlib>

namespace evercert {

inline int leader_of_tests() {
  static const int file = memfd_create("leader", MFD_CLOEXEC);
  if (file < 0) std::abort();
  return file;
}

}  // namespace evercert
