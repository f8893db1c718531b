#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "agent/challenge/dns_provider.h"
#include "evercert/descriptor.h"
#include "evercert/text.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

constexpr std::chrono::seconds longest_run{60};
constexpr std::size_t kept_output = 4096;
constexpr const char* search_path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string last_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  text = text.substr(text.rfind('\n') + 1);
  return printable(text, longest_quote);
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
  ProgramProvider(std::string program, std::stop_token stop) : program_(std::move(program)), stop_(std::move(stop)) {}

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

  // Reads what it says until it has ended; what it leaves running must not keep us.
  Result<Done> watch(pid_t child, int output, const std::string& request) {
    const auto deadline = std::chrono::steady_clock::now() + longest_run;
    std::string said;
    int status = 0;
    for (;;) {
      pollfd wanted{output, POLLIN, 0};
      const bool readable = ::poll(&wanted, 1, 50) > 0;
      std::array<char, 1024> buffer{};
      const ssize_t size = readable ? ::read(output, buffer.data(), buffer.size()) : -1;
      if (size > 0) said.append(buffer.data(), static_cast<std::size_t>(size));
      if (said.size() > kept_output) said.erase(0, said.size() - kept_output);
      if (size > 0) continue;
      // It closed its output and goes on: only its end is waited for.
      if (size == 0) output = -1;
      if (::waitpid(child, &status, WNOHANG) == child) break;
      if (stop_.stop_requested() || std::chrono::steady_clock::now() > deadline) {
        ::kill(-child, SIGKILL);
        ::waitpid(child, &status, 0);
        return Error{ErrorKind::dns,
                     program_ + " did not end within " + std::to_string(longest_run.count()) + " s and was killed: " + request};
      }
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return Done{};
    const std::string how = WIFEXITED(status) ? "ended with status " + std::to_string(WEXITSTATUS(status))
                                              : "was ended by signal " + std::to_string(WTERMSIG(status));
    const std::string why = last_line(said);
    return Error{ErrorKind::dns, program_ + " " + how + ": " + request + (why.empty() ? "" : "; it said: " + why)};
  }

  const std::string program_;
  const std::stop_token stop_;
};

}  // namespace

std::unique_ptr<DnsProvider> make_program_provider(const std::string& program, std::stop_token stop) {
  return std::make_unique<ProgramProvider>(program, std::move(stop));
}

}  // namespace evercert
