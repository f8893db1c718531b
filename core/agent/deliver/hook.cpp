#include "agent/deliver/hook.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "evercert/board.h"
#include "serving/base/files.h"

namespace evercert {
namespace {

Result<pid_t> spawn(const std::vector<std::string>& command, const std::string& names) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const auto& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  std::string path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  std::string told = "EVERCERT_CERTIFICATES=" + names;
  char* const environment[] = {path.data(), told.data(), nullptr};
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&attributes);
  for (const int number : {0, 1, 2}) posix_spawn_file_actions_addopen(&files, number, "/dev/null", O_RDWR, 0);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  pid_t pid = -1;
  const int code = ::posix_spawn(&pid, command.front().c_str(), &files, &attributes, arguments.data(), environment);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (code != 0) return system_error(ErrorKind::internal, "the hook " + command.front() + " cannot be run", code);
  return pid;
}

}  // namespace

Result<Done> run_hook(const std::vector<std::string>& command, const std::vector<std::string>& certificates,
                      std::chrono::seconds patience) {
  std::string names;
  for (const auto& name : certificates) names += (names.empty() ? "" : " ") + name;
  auto pid = spawn(command, names);
  if (!pid) return pid.error();
  const Descriptor process(static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0U)));
  pollfd end{process.get(), POLLIN, 0};
  const bool in_time =
      process.valid() &&
      ::poll(&end, 1, static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(patience).count())) > 0;
  if (!in_time) ::kill(-*pid, SIGKILL);
  int status = 0;
  while (::waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
  }
  const std::string what = "the hook " + command.front();
  if (!in_time)
    return Error{ErrorKind::internal, what + " was ended: it took longer than " + std::to_string(patience.count()) + " s"};
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return Done{};
  return Error{ErrorKind::internal, what + (WIFEXITED(status) ? " ended with exit code " + std::to_string(WEXITSTATUS(status))
                                                              : " ended by signal " + std::to_string(WTERMSIG(status)))};
}

}  // namespace evercert
