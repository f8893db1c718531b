// How the sanitizers of the program report: the agent is started without an environment, so that it cannot be told there.
// Reports go into a folder "sanitizer" beside the program, where the tests look for them. Leaks are the unit tests' business:
// finding them takes a debugger's rights, which a process of ours gives up.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

constexpr long most = 4096;
char options[most + 200];

// Byte by byte, as no compiler may turn it into a call.
__attribute__((no_sanitize("address", "undefined"))) char* append(char* end, const char* text) {
  for (; *text != 0; ++text) *static_cast<volatile char*>(end++) = *text;
  return end;
}

// Called before the sanitizers have put themselves in the place of the C library's functions, so none of those is used.
__attribute__((no_sanitize("address", "undefined"))) const char* with_path() {
  char* end = append(options, "detect_leaks=0:halt_on_error=1:abort_on_error=1:log_path=");
  const long size = ::syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", end, most);
  end += size > 0 ? size : 0;
  while (end > options && *end != '/') --end;
  end = append(end, "/sanitizer/report");
  *end = 0;
  return options;
}

}  // namespace

extern "C" __attribute__((visibility("default"), no_sanitize("address", "undefined"))) const char* __asan_default_options() {
  return with_path();
}

extern "C" __attribute__((visibility("default"), no_sanitize("address", "undefined"))) const char* __ubsan_default_options() {
  return with_path();
}
