// How the sanitizers of the program report: the agent is started without an environment, so that it cannot be told there.
// Reports go into a folder "sanitizer" beside the program, where the tests look for them. Leaks are the unit tests' business:
// finding them takes a debugger's rights, which a process of ours gives up.
#include <unistd.h>

#include <cstring>

namespace {

constexpr char settings[] = "detect_leaks=0:halt_on_error=1:abort_on_error=1:log_path=";
constexpr char folder[] = "/sanitizer/report";
char options[sizeof settings + 4096 + sizeof folder];

// Called before anything of the C library is certain to work; these three are.
const char* with_path() {
  std::memcpy(options, settings, sizeof settings);
  char* const path = options + sizeof settings - 1;
  const ssize_t size = ::readlink("/proc/self/exe", path, 4096);
  char* end = path + (size > 0 ? size : 0);
  while (end > path && *end != '/') --end;
  std::memcpy(end, folder, sizeof folder);
  return options;
}

}  // namespace

extern "C" __attribute__((visibility("default"), no_sanitize("address", "undefined"))) const char* __asan_default_options() {
  return with_path();
}

extern "C" __attribute__((visibility("default"), no_sanitize("address", "undefined"))) const char* __ubsan_default_options() {
  return with_path();
}
