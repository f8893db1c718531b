#include "cli/agent_word.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <vector>

#include "agent/observe/status_report.h"
#include "cli/conversation.h"
#include "cli/table.h"
#include "evercert/descriptor.h"
#include "evercert/text.h"
#include "serving/base/json.h"
#include "serving/base/rfc3339.h"
#include "serving/platform/directory.h"

namespace evercert {
namespace {

std::vector<int> numbers_in(const std::string& path) {
  std::vector<int> numbers;
  Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return numbers;
  const auto entries = entries_of(std::move(directory));
  if (!entries) return numbers;
  for (const DirectoryEntry& entry : *entries) {
    int number = 0;
    const char* const end = entry.name.data() + entry.name.size();
    if (std::from_chars(entry.name.data(), end, number).ptr == end) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

bool holds_open(const std::string& process, const struct stat& file) {
  const std::string folder = process + "/fd";
  const std::vector<int> open = numbers_in(folder);
  return std::any_of(open.begin(), open.end(), [&](int number) {
    struct stat facts {};
    return ::stat((folder + "/" + std::to_string(number)).c_str(), &facts) == 0 && facts.st_dev == file.st_dev &&
           facts.st_ino == file.st_ino;
  });
}

std::string first_line_of(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// nginx and Apache put their error log in the place of what they would say to a terminal.
std::string error_log_of(const std::string& process) {
  const std::string link = process + "/fd/2";
  struct stat facts {};
  if (::stat(link.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode) || facts.st_nlink == 0) return {};
  std::array<char, 4096> path{};
  const ssize_t size = ::readlink(link.c_str(), path.data(), path.size());
  return size > 0 && path[0] == '/' ? std::string(path.data(), static_cast<std::size_t>(size)) : std::string();
}

// An agent that starts holds the file as well, and is what may not come up; HAProxy's keeper holds it for HAProxy.
std::optional<std::string> server_name_of(const std::string& process) {
  const std::string called = first_line_of(process + "/comm");
  if (called == "nginx") return called;
  if (called == "apache2" || called == "httpd") return "Apache";
  if (called == "haproxy") return "HAProxy";
  const std::string words = first_line_of(process + "/cmdline");
  const std::size_t verb = words.find('\0') + 1;
  if (verb != 0 && words.compare(verb, 5, std::string_view("keep\0", 5)) == 0) return "HAProxy";
  return std::nullopt;
}

std::string look_at(const Starter& starter) {
  if (!starter.error_log.empty()) return "its error log " + starter.error_log + " says why";
  return starter.name == "HAProxy"
             ? "HAProxy's log (the targets of its lines \"log\", or where it says \"evercert:\" at its start) says why"
             : "the error log of " + starter.name + " says why";
}

std::string running(const Starter& starter) {
  return starter.name + " (process " + std::to_string(starter.pid) + ")";
}

std::string never_started(const std::string& state_path) {
  return "no server has been started with the state directory " + state_path +
         " yet, or its agent has not come so far; start it, or name another directory with --state, --config or "
         "EVERCERT_STATE; if it runs already, its error log says why its agent does not come up";
}

AgentWord word_before_any(const StatusOnDisk& status) {
  if (const auto leader = leader_of(status.state_path))
    return {"the agent (" + *leader + ") is just starting and has written no status yet; ask again", exit_done};
  if (const auto starter = starter_of(status.state_path))
    return {running(*starter) + " runs with the state directory " + status.state_path +
                ", but its agent has not come up yet: if it stays so, " + look_at(*starter),
            exit_failed};
  const bool imported = !member_in(status.json, "unnamed").empty();
  return {never_started(status.state_path), imported ? exit_done : exit_failed};
}

}  // namespace

std::optional<Starter> starter_of(const std::string& state_path) {
  struct stat leader {};
  if (::stat((state_path + "/leader").c_str(), &leader) != 0) return std::nullopt;
  for (const int pid : numbers_in("/proc")) {
    const std::string process = "/proc/" + std::to_string(pid);
    if (pid == ::getpid() || !holds_open(process, leader)) continue;
    if (const auto name = server_name_of(process)) return Starter{pid, *name, error_log_of(process)};
  }
  return std::nullopt;
}

AgentWord word_of_agent(const StatusOnDisk& status, std::chrono::system_clock::time_point now) {
  if (status.was_never_written()) {
    AgentWord word = word_before_any(status);
    word.sentence = printable(word.sentence);
    return word;
  }
  const Json& agent = member_in(status.json, "agent");
  const std::string state = text_in(agent, "state");
  const std::string server = text_in(status.json, "server");
  const std::string line = "evercert " + text_in(status.json, "version") + ", server " + server + ", as of " +
                           text_in(status.json, "generated_at") + "; the agent ";
  if (state != "silent" && !state.empty()) {
    const auto since = time_in(raw_text_in(agent, "since"));
    return {line + "(" + state + ", process " + std::to_string(number_in(agent, "pid")) + ") runs since " +
                (since ? relative_time(*since, now) : text_in(agent, "since")),
            exit_done};
  }
  // The page is as old as its writer's last word; who holds the lead now, the kernel knows.
  if (const auto leader = leader_of(status.state_path))
    return {line + "is silent: " + printable(silent_agent(*leader)), exit_done};
  if (const auto starter = starter_of(status.state_path))
    return {line + printable("has not come up, although " + running(*starter) +
                             " runs: nothing is renewed until it does, and if it stays so, " + look_at(*starter)),
            exit_failed};
  return {line + "is not running: nothing is renewed until it is; if " + server + " runs, its error log says why", exit_done};
}

}  // namespace evercert
