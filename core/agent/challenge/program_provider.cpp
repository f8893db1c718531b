#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "agent/challenge/dns_provider.h"
#include "evercert/descriptor.h"
#include "evercert/text.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

constexpr std::size_t kept_output = 4096;
constexpr std::size_t longest_read = 4096;
constexpr const char* search_path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string last_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  text = text.substr(text.rfind('\n') + 1);
  return printable(text, longest_quote);
}

std::string to_seconds(std::chrono::milliseconds time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count());
}

// One read of what waits there, of which the end is kept. 0: its end, or a failure.
std::size_t hear(int output, std::string& said, std::size_t most) {
  std::array<char, longest_read> buffer{};
  const ssize_t size = ::read(output, buffer.data(), std::min(most, buffer.size()));
  if (size <= 0) return 0;
  said.append(buffer.data(), static_cast<std::size_t>(size));
  if (said.size() > kept_output) said.erase(0, said.size() - kept_output);
  return static_cast<std::size_t>(size);
}

// The spawn functions' own structures, released whatever happens.
struct SpawnSettings {
  posix_spawn_file_actions_t files{};
  posix_spawnattr_t attributes{};
  SpawnSettings() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
};

class ProgramProvider : public DnsProvider {
 public:
  ProgramProvider(std::string program, std::stop_token stop, std::chrono::milliseconds longest_run)
      : program_(std::move(program)), stop_(std::move(stop)), longest_run_(longest_run) {}

  Result<Done> add(const DnsRecord& record) override { return run("add", record); }
  Result<Done> remove(const DnsRecord& record) override { return run("remove", record); }

 private:
  Result<Done> run(const char* what, const DnsRecord& record) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return system_error(ErrorKind::storage, "no pipe for " + program_, errno);
    Descriptor reading(ends[0]);
    Descriptor writing(ends[1]);
    auto child = start(what, record, writing.get());
    if (!child) return child.error();
    writing.reset();
    return watch(*child, reading.get(), std::string(what) + " " + to_string(record.type) + " " + record.name);
  }

  Result<pid_t> start(const char* what, const DnsRecord& record, int output) {
    SpawnSettings settings;
    posix_spawn_file_actions_addopen(&settings.files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&settings.files, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&settings.files, output, STDERR_FILENO);
    // Libraries of ours may have opened something that an execution does not close.
    posix_spawn_file_actions_addclosefrom_np(&settings.files, STDERR_FILENO + 1);
    // A group of its own, so that what it starts ends with it; the agent's masked signals are not its own.
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&settings.attributes, &none);
    posix_spawnattr_setpgroup(&settings.attributes, 0);
    posix_spawnattr_setflags(&settings.attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    std::array<std::string, 5> words{program_, what, to_string(record.type), record.name, record.value};
    std::array<char*, 6> arguments{};
    for (std::size_t i = 0; i < words.size(); ++i) arguments[i] = words[i].data();
    std::string path = search_path;
    std::array<char*, 2> environment{path.data(), nullptr};
    pid_t child = -1;
    const int code =
        posix_spawn(&child, program_.c_str(), &settings.files, &settings.attributes, arguments.data(), environment.data());
    if (code != 0) return system_error(ErrorKind::dns, "dns_program " + program_ + " cannot be run", code);
    return child;
  }

  // Hears what it says until it has ended; neither its words nor what it leaves running may keep us.
  Result<Done> watch(pid_t child, int output, const std::string& request) {
    const auto deadline = std::chrono::steady_clock::now() + longest_run_;
    std::string said;
    int status = 0;
    while (::waitpid(child, &status, WNOHANG) != child) {
      const bool stopped = stop_.stop_requested();
      if (stopped || std::chrono::steady_clock::now() > deadline) {
        ::kill(-child, SIGKILL);
        ::waitpid(child, &status, 0);
        const std::string why = stopped ? " was killed since the agent ends"
                                        : " did not end within " + to_seconds(longest_run_) + " s and was killed";
        return Error{ErrorKind::dns, program_ + why + ": " + request};
      }
      pollfd wanted{output, POLLIN, 0};
      if (::poll(&wanted, 1, 50) <= 0) continue;
      // It closed its output and goes on: only its end is waited for.
      if (hear(output, said, longest_read) == 0) output = -1;
    }
    int left = 0;
    if (::ioctl(output, FIONREAD, &left) != 0) left = 0;
    while (left > 0) {
      const std::size_t heard = hear(output, said, static_cast<std::size_t>(left));
      if (heard == 0) break;
      left -= static_cast<int>(heard);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return Done{};
    const std::string how = WIFEXITED(status) ? "ended with status " + std::to_string(WEXITSTATUS(status))
                                              : "was ended by signal " + std::to_string(WTERMSIG(status));
    const std::string why = last_line(said);
    return Error{ErrorKind::dns, program_ + " " + how + ": " + request + (why.empty() ? "" : "; it said: " + why)};
  }

  const std::string program_;
  const std::stop_token stop_;
  const std::chrono::milliseconds longest_run_;
};

}  // namespace

std::unique_ptr<DnsProvider> make_program_provider(const std::string& program, std::stop_token stop,
                                                   std::chrono::milliseconds longest_run) {
  return std::make_unique<ProgramProvider>(program, std::move(stop), longest_run);
}

}  // namespace evercert
