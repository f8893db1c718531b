#include "serving/platform/inspect.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

#include "evercert/descriptor.h"
#include "serving/platform/files.h"

namespace evercert {

namespace {

// The effective number on a line "Uid:\t33\t33\t33\t33" is the second, the only one of "TracerPid:\t0" the first.
std::optional<long> number_of(std::string_view status, std::string_view field, unsigned position) {
  const std::string start = "\n" + std::string(field) + ":";
  const std::size_t found = status.find(start);
  if (found == std::string_view::npos) return std::nullopt;
  std::size_t at = found + start.size();
  for (unsigned word = 0;; ++word) {
    while (at < status.size() && (status[at] == '\t' || status[at] == ' ')) ++at;
    const std::size_t begin = at;
    long number = 0;
    while (at < status.size() && status[at] >= '0' && status[at] <= '9') number = number * 10 + (status[at++] - '0');
    if (at == begin) return std::nullopt;
    if (word == position) return number;
  }
}

bool is_hidden(pid_t pid, int code) {
  if (code != ENOENT && code != EACCES && code != EPERM) return false;
  return ::geteuid() != 0 && ::access("/proc/self/status", R_OK) == 0 && ::kill(pid, 0) == 0;
}

// As proc(5) has it; 0: not to be seen.
char state_of(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 512> text{};
  const ssize_t size = file.valid() ? ::read(file.get(), text.data(), text.size()) : -1;
  if (size <= 0) return 0;
  // The name before it may hold anything, also parentheses.
  const std::string_view line(text.data(), static_cast<std::size_t>(size));
  const auto end_of_name = line.rfind(") ");
  return end_of_name != std::string_view::npos && end_of_name + 2 < line.size() ? line[end_of_name + 2] : '\0';
}

}  // namespace

Result<Done> check_protected(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/status";
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    if (is_hidden(pid, errno)) return Done{};
    return system_error(ErrorKind::internal, "cannot look at " + path, errno);
  }
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0) return system_error(ErrorKind::internal, "cannot look at " + path, errno);
  std::string text(16384, '\0');
  const ssize_t count = ::read(file.get(), text.data(), text.size());
  if (count < 0) return system_error(ErrorKind::internal, "cannot read " + path, errno);
  text.resize(static_cast<std::size_t>(count));
  const auto tracer = number_of(text, "TracerPid", 0);
  const auto user = number_of(text, "Uid", 1);
  if (!tracer || !user) return Error{ErrorKind::internal, "cannot understand " + path};
  if (*tracer != 0) return Error{ErrorKind::internal, "it is being traced by process " + std::to_string(*tracer)};
  if (*user != 0 && static_cast<uid_t>(*user) == facts.st_uid)
    return Error{ErrorKind::internal, "it lets other processes of its user look into its memory"};
  return Done{};
}

bool waits_for_a_disk(pid_t pid) {
  return state_of(pid) == 'D';
}

bool is_stopped(pid_t pid) {
  const char state = state_of(pid);
  return state == 'T' || state == 't';
}

bool is_called(pid_t pid, std::uint64_t number) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const auto has = [&](std::string_view field) {
    for (unsigned position = 0;; ++position) {
      const auto found = number_of(text, field, position);
      if (!found) return false;
      if (static_cast<std::uint64_t>(*found) == number) return true;
    }
  };
  return text.empty() || has("Pid") || has("NSpid");
}

}  // namespace evercert
