#include "cli/starter.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <vector>

#include "evercert/descriptor.h"
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

std::vector<int> holders_of_leader_file(const std::string& state_path) {
  struct stat leader {};
  if (::stat((state_path + "/leader").c_str(), &leader) != 0) return {};
  std::vector<int> holders = numbers_in("/proc");
  std::erase_if(holders, [&](int pid) { return pid == ::getpid() || !holds_open("/proc/" + std::to_string(pid), leader); });
  return holders;
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

}  // namespace

std::optional<Starter> starter_of(const std::string& state_path) {
  for (const int pid : holders_of_leader_file(state_path)) {
    const std::string process = "/proc/" + std::to_string(pid);
    if (const auto name = server_name_of(process)) return Starter{pid, *name, error_log_of(process)};
  }
  return std::nullopt;
}

bool leader_file_is_held(const std::string& state_path) {
  return !holders_of_leader_file(state_path).empty();
}

}  // namespace evercert
