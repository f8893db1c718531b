#include "serving/platform/spawn.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>

#include "evercert/descriptor.h"
#include "evercert/text.h"
#include "serving/platform/files.h"

namespace evercert {

namespace {

// The program's copy, until it is executed.
constexpr int image_number = channel_number + 1;

// A message to the starter, put together without any allocation, then the end.
[[noreturn]] void fail(int channel, const char* step) {
  const int code = errno;
  std::array<char, 128> message{};
  std::size_t length = 0;
  const auto append = [&](const char* text) {
    while (*text != '\0' && length < message.size() - 8) message[length++] = *text++;
  };
  append("{\"failed\":\"");
  append(step);
  append("\",\"errno\":");
  std::array<char, 12> digits{};
  std::size_t at = digits.size() - 1;
  for (int rest = code; at > 0 && (rest != 0 || at == digits.size() - 1); rest /= 10)
    digits[--at] = static_cast<char>('0' + rest % 10);
  append(&digits[at]);
  append("}");
  ::send(channel, message.data(), length, MSG_NOSIGNAL | MSG_DONTWAIT);
  ::_exit(127);
}

// A thousand certificates to open and prove would keep handshakes waiting for a processor. Linux weighs whole sessions where
// autogroups are in use (sched(7)); that file is closed to a program which nobody may read, and to one that has become another
// user. Where any of it is refused it is a courtesy less. What this process starts in its session inherits all of it.
void let_the_server_go_first() {
  constexpr int niceness = 10;
  constexpr std::string_view session_niceness = "10";
  static_cast<void>(::setpriority(PRIO_PROCESS, 0, niceness) == 0);
  // Its threads wake without taking the processor from a handshake.
  const sched_param none{};
  static_cast<void>(::sched_setscheduler(0, SCHED_BATCH, &none) == 0);
  const int session = ::open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
  if (session < 0) return;
  static_cast<void>(::write(session, session_niceness.data(), session_niceness.size()) == 0);
  ::close(session);
}

void close_all_from(unsigned first) {
  if (::syscall(SYS_close_range, first, ~0U, 0U) == 0) return;
  rlimit limit{};
  constexpr rlim_t enough = 65536;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > enough) limit.rlim_cur = enough;
  for (unsigned number = first; number < limit.rlim_cur; ++number) ::close(static_cast<int>(number));
}

// Ignored signals and the mask survive exec; a server ignores SIGPIPE and others.
void reset_signals() {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &standard, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// The system calls themselves: the library's wrappers talk to the other threads, which the child does not have.
void become(int channel, uid_t user, gid_t group) {
  ::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
  if (::syscall(SYS_setgroups, 1, &group) != 0) fail(channel, "set the groups of");
  if (::syscall(SYS_setresgid, group, group, group) != 0) fail(channel, "set the group of");
  if (::syscall(SYS_setresuid, user, user, user) != 0) fail(channel, "set the user of");
}

// A pause that ends with the starter.
void pause_before(int channel, int milliseconds) {
  pollfd end{channel, 0, 0};
  if (milliseconds > 0 && ::poll(&end, 1, milliseconds) > 0) ::_exit(0);
}

enum class Parentage { child, nobodys };

[[noreturn]] void run_child(const Supervisor::Program& program, Parentage parentage, int pause, int channel, int null_device,
                            char* const* arguments, char* const* environment) {
  // Out of the way first: either may already have a number that is about to be replaced.
  const int high_channel = ::fcntl(channel, F_DUPFD, channel_number + 1);
  const int high_null = ::fcntl(null_device, F_DUPFD, channel_number + 1);
  const int high_image = program.image ? ::fcntl(program.image->get(), F_DUPFD, image_number + 1) : -1;
  if (high_channel < 0 || high_null < 0) fail(channel, "arrange the descriptors of");
  if (::dup2(high_channel, channel_number) < 0 || ::dup2(high_null, 0) < 0) fail(high_channel, "arrange the descriptors of");
  // Whoever reads what `haproxy -D` prints, as an init script does, waits until nobody holds that end any more.
  if (parentage == Parentage::nobodys && (::dup2(high_null, 1) < 0 || ::dup2(high_null, 2) < 0))
    fail(channel_number, "arrange the descriptors of");
  if (program.image && ::dup3(high_image, image_number, O_CLOEXEC) < 0) fail(channel_number, "arrange the descriptors of");
  close_all_from(program.image ? image_number + 1 : image_number);
  reset_signals();
  // Apache ends its whole process group when it stops, and a terminal does; the agent ends with its channel, between two steps.
  if (!program.joins_session) ::setsid();
  if (parentage == Parentage::nobodys) let_the_server_go_first();
  if (program.become) become(channel_number, *program.become, program.become_group);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail(channel_number, "restrict");
  ::umask(027);
  pause_before(channel_number, pause);
  if (program.image) {
    ::syscall(SYS_execveat, image_number, "", arguments, environment, AT_EMPTY_PATH);
    fail(channel_number, failed_step_copy);
  }
  // It was closed to others when the starter looked; somebody may have exchanged it since.
  if (program.hidden && ::geteuid() != 0 && ::faccessat(AT_FDCWD, program.path.c_str(), R_OK, AT_EACCESS) == 0) {
    errno = EPERM;
    fail(channel_number, failed_step_hide);
  }
  ::execve(program.path.c_str(), arguments, environment);
  fail(channel_number, failed_step_execute);
}

// The server that forked must never see this process end, so the one between it and us ends at once.
[[noreturn]] void detach_and_run(const Supervisor::Program& program, int channel, int null_device, int tell,
                                 char* const* arguments, char* const* environment) {
  ::setsid();
  const pid_t child = ::fork();
  if (child == 0) run_child(program, Parentage::nobodys, 0, channel, null_device, arguments, environment);
  const bool told = child > 0 && ::write(tell, &child, sizeof child) == sizeof child;
  ::_exit(told ? 0 : 1);
}

Result<Spawned> spawn(const Supervisor::Program& program, std::vector<std::string> words, Parentage parentage,
                      std::chrono::milliseconds pause) {
  std::array<int, 2> ends{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return system_error(ErrorKind::internal, "cannot make the agent's channel", errno);
  Spawned spawned;
  spawned.channel = Descriptor(ends[0]);
  const Descriptor far_end(ends[1]);
  std::array<int, 2> pipe_ends{-1, -1};
  if (::pipe2(pipe_ends.data(), O_CLOEXEC) != 0)
    return system_error(ErrorKind::internal, "cannot make a pipe for the agent's start", errno);
  const Descriptor hear(pipe_ends[0]);
  Descriptor tell(pipe_ends[1]);
  const Descriptor null_device(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null_device.valid()) return system_error(ErrorKind::internal, "cannot open /dev/null", errno);

  words.insert(words.begin(), "evercert");
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  // Nothing of the server's environment: it may steer OpenSSL, curl or the loader, and may hold what is nobody's business.
  // The agent starts no programs, so it needs no PATH either.
  const std::array<char*, 1> environment{nullptr};

  // A handler of the server must run neither in the child nor before the pidfd exists (it might reap the child).
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  spawned.pid = ::fork();
  const int fork_code = errno;
  if (spawned.pid == 0 && parentage == Parentage::child)
    run_child(program, parentage, static_cast<int>(pause.count()), far_end.get(), null_device.get(), arguments.data(),
              environment.data());
  if (spawned.pid == 0)
    detach_and_run(program, far_end.get(), null_device.get(), tell.get(), arguments.data(), environment.data());
  if (spawned.pid > 0 && parentage == Parentage::nobodys) {
    while (::waitpid(spawned.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    tell.reset();
    if (::read(hear.get(), &spawned.pid, sizeof spawned.pid) != sizeof spawned.pid) spawned.pid = -1;
  }
  if (spawned.pid > 0) spawned.process = Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, spawned.pid, 0U)));
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (spawned.pid < 0) return system_error(ErrorKind::internal, "cannot fork for the agent", fork_code);
  return spawned;
}

}  // namespace

std::string why_not_started(const std::string& step, int code, const std::string& path) {
  if (step == failed_step_copy)
    return "the agent's user may read " + path +
           ", so a copy in memory is executed in its place, and that is refused: " + std::generic_category().message(code) +
           "; SELinux, AppArmor or another policy of this system may forbid programs in memory files; do: chown root " + path +
           " && chmod 0711 " + path + ", and reload the server, which then needs no copy";
  if (step == failed_step_hide)
    return "the agent's user may read " + path + " and could look into it while it starts; do: chmod 0711 " + path +
           " (or reload the server, which then executes a copy that only root can read)";
  return "cannot " + printable(step) + " " + path + ": " + std::generic_category().message(code) +
         "; see that the program is installed there and may be executed (option program)";
}

Result<Spawned> spawn_agent(const Supervisor::Program& program, const std::vector<std::string>& words,
                            std::chrono::milliseconds pause) {
  return spawn(program, words, Parentage::child, pause);
}

Result<Spawned> spawn_detached(const Supervisor::Program& program, const std::vector<std::string>& words) {
  return spawn(program, words, Parentage::nobodys, {});
}

}  // namespace evercert
