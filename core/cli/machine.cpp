#include "cli/machine.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <sstream>

#include "serving/platform/files.h"

namespace evercert {

Machine::Machine(std::string root) : root_(std::move(root)) {
  while (root_.ends_with('/')) root_.pop_back();
}

// A link below another root means a file below that root.
std::string Machine::followed(const std::string& path) const {
  constexpr unsigned most_links = 8;
  std::filesystem::path at = place(path);
  std::error_code fault;
  for (unsigned i = 0; i < most_links && !root_.empty() && std::filesystem::is_symlink(at, fault); ++i) {
    const std::filesystem::path target = std::filesystem::read_symlink(at, fault);
    if (fault) break;
    at = target.is_absolute() ? std::filesystem::path(root_ + target.string()) : at.parent_path() / target;
  }
  return at.string();
}

bool Machine::has(const std::string& path) const {
  std::error_code fault;
  return std::filesystem::exists(followed(path), fault);
}

std::string Machine::text(const std::string& path) const {
  std::error_code fault;
  const std::string file = followed(path);
  if (!std::filesystem::is_regular_file(file, fault)) return "";
  constexpr std::size_t largest = std::size_t{1} << 20U;
  const auto content = read_file_start(AT_FDCWD, file, largest);
  return content && *content ? std::string((*content)->begin(), (*content)->end()) : "";
}

std::vector<std::string> Machine::files_in(const std::string& directory, std::string_view ending) const {
  std::vector<std::string> files;
  std::error_code fault;
  for (std::filesystem::directory_iterator at(place(directory), fault), end; !fault && at != end; at.increment(fault)) {
    const std::string name = at->path().filename().string();
    if (!name.starts_with('.') && name.ends_with(ending)) files.push_back(directory + "/" + name);
  }
  std::sort(files.begin(), files.end());
  return files;
}

// A kernel without IPv6 has no such file, one where it is off has no address.
bool Machine::has_ipv6() const {
  const auto content = read_file_start(AT_FDCWD, "/proc/net/if_inet6", 1);
  return content && *content && !(*content)->empty();
}

// What a directory service knows beside its file is not looked up below another root, which may have others.
std::optional<std::uint32_t> Machine::user(const std::string& name) const {
  for (const auto& [known, number] : users())
    if (known == name) return number;
  const passwd* const entry = root_.empty() ? ::getpwnam(name.c_str()) : nullptr;
  return entry == nullptr ? std::nullopt : std::optional<std::uint32_t>(entry->pw_uid);
}

std::string Machine::user_name(std::uint32_t user) const {
  for (const auto& [known, number] : users())
    if (number == user) return known;
  return "user " + std::to_string(user);
}

std::vector<std::pair<std::string, std::uint32_t>> Machine::users() const {
  std::vector<std::pair<std::string, std::uint32_t>> found;
  std::istringstream lines(text("/etc/passwd"));
  for (std::string line; std::getline(lines, line);) {
    const std::size_t end = line.find(':');
    const std::size_t begin = end == std::string::npos ? end : line.find(':', end + 1);
    std::uint32_t number = 0;
    if (begin != std::string::npos &&
        std::from_chars(line.data() + begin + 1, line.data() + line.size(), number).ec == std::errc())
      found.emplace_back(line.substr(0, end), number);
  }
  return found;
}

std::optional<std::uint32_t> Machine::owner_of_state(const std::string& state_path) const {
  const std::string path = followed(state_path + "/state");
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode)) return std::nullopt;
  std::error_code fault;
  if (std::filesystem::is_empty(path, fault) && !fault) return std::nullopt;
  return facts.st_uid;
}

std::string Machine::reload(const std::string& service) const {
  return has("/lib/systemd/systemd") || has("/usr/lib/systemd/systemd") ? "sudo systemctl reload-or-restart " + service
                                                                        : "sudo service " + service + " restart";
}

std::vector<Spot> words_in(const std::string& text, const std::string& file, bool signs) {
  std::vector<Spot> words;
  unsigned line = 1;
  bool inside = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '#' && !inside) {
      at = std::min(text.find('\n', at), text.size()) - 1;
      continue;
    }
    const bool sign = signs && (c == ';' || c == '{' || c == '}');
    if (c == '\n') ++line;
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || sign) {
      inside = false;
      if (sign) words.push_back({file, line, std::string(1, c)});
    } else if (c != '"' && c != '\'') {
      if (!inside) words.push_back({file, line, ""});
      inside = true;
      words.back().word += c;
    }
  }
  return words;
}

}  // namespace evercert
