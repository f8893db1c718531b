#include "serving/store/ownership.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <deque>
#include <filesystem>
#include <string_view>

#include "evercert/descriptor.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

constexpr unsigned most_links = 40;  // as the kernel's own limit

std::string name_of(uid_t user) {
  const passwd* const entry = getpwuid(user);
  return (entry == nullptr ? std::string("user") : std::string(entry->pw_name)) + " (" + std::to_string(user) + ")";
}

std::string octal(mode_t mode) {
  std::string text;
  for (int shift = 9; shift >= 0; shift -= 3) text.push_back(static_cast<char>('0' + ((mode >> shift) & 7)));
  return text;
}

bool open_to_others(const struct stat& facts) {
  return (facts.st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

bool is_sticky(const struct stat& facts) {
  return (facts.st_mode & S_ISVTX) != 0;
}

// The way from the root directory to what a path names, one component at a time, links included.
class Walk {
 public:
  // `also`: another user who may write there; root writes everywhere.
  Walk(std::string path, std::string what, uid_t also = 0) : path_(std::move(path)), what_(std::move(what)), also_(also) {}

  Result<Done> go() {
    push(path_);
    if (!path_.starts_with('/')) push(std::filesystem::current_path().string());
    if (auto begun = begin(); !begun) return begun;
    while (!rest_.empty()) {
      const std::string name = std::move(rest_.front());
      rest_.pop_front();
      struct stat facts {};
      if (fstatat(current_.get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? Result<Done>(Done{}) : unreadable(below(name));
      if (open_to_others(here_) && name != ".." && !trusted(facts)) return refused(below(name), facts);
      if (S_ISLNK(facts.st_mode)) {
        if (auto followed = follow(name); !followed) return followed;
        continue;
      }
      // Whoever opens it says what it is instead.
      if (!S_ISDIR(facts.st_mode)) return Done{};
      if (auto entered = enter(name); !entered) return entered;
    }
    // What is to lie in it is named by us alone, but others could be first.
    return open_to_others(here_) ? refused(where_, here_) : Result<Done>(Done{});
  }

 private:
  [[nodiscard]] bool trusted(const struct stat& facts) const { return facts.st_uid == 0 || facts.st_uid == also_; }

  void push(const std::string& path) {
    std::deque<std::string> names;
    for (std::size_t begin = 0; begin < path.size();) {
      const std::size_t end = std::min(path.find('/', begin), path.size());
      const std::string name = path.substr(begin, end - begin);
      if (!name.empty() && name != ".") names.push_back(name);
      begin = end + 1;
    }
    rest_.insert(rest_.begin(), names.begin(), names.end());
  }

  [[nodiscard]] std::string below(const std::string& name) const { return (where_ == "/" ? where_ : where_ + "/") + name; }

  Result<Done> begin() {
    where_ = "/";
    return look(Descriptor(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)));
  }

  Result<Done> enter(const std::string& name) {
    Descriptor next(openat(current_.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (name != "..")
      where_ = below(name);
    else
      where_ = where_.rfind('/') == 0 ? "/" : where_.substr(0, where_.rfind('/'));
    return look(std::move(next));
  }

  Result<Done> follow(const std::string& name) {
    std::array<char, PATH_MAX> target;
    const ssize_t size = readlinkat(current_.get(), name.c_str(), target.data(), target.size());
    if (size < 0 || ++links_ > most_links) {
      if (size >= 0) errno = ELOOP;
      return unreadable(below(name));
    }
    const std::string to(target.data(), static_cast<std::size_t>(size));
    push(to);
    return to.starts_with('/') ? begin() : Result<Done>(Done{});
  }

  Result<Done> look(Descriptor next) {
    if (!next.valid() || fstat(next.get(), &here_) != 0) return unreadable(where_);
    current_ = std::move(next);
    if (rest_.empty() && take_back()) return Done{};
    const bool theirs_alone = trusted(here_) && (!open_to_others(here_) || is_sticky(here_));
    return theirs_alone ? Result<Done>(Done{}) : refused(where_, here_);
  }

  // A volume with a group of its own opens its directory to that group at each mount. What is root's already, and names nothing
  // that others could have put there unnoticed, is closed again.
  bool take_back() {
    if (here_.st_uid != 0 || (here_.st_mode & (S_IWGRP | S_IWOTH)) != S_IWGRP) return false;
    const std::string name = "/proc/self/fd/" + std::to_string(current_.get());
    return chmod(name.c_str(), here_.st_mode & 07777 & ~static_cast<mode_t>(S_IWGRP)) == 0 &&
           fstat(current_.get(), &here_) == 0;
  }

  [[nodiscard]] Error unreadable(const std::string& where) const {
    return system_error(ErrorKind::configuration, what_ + " \"" + path_ + "\" cannot be used: \"" + where + "\"", errno);
  }

  [[nodiscard]] Error refused(const std::string& where, const struct stat& facts) const {
    std::string command = facts.st_uid == 0 ? "" : "chown root " + where;
    if (!S_ISLNK(facts.st_mode) && open_to_others(facts))
      command += std::string(command.empty() ? "" : " && ") + "chmod go-w " + where;
    return {ErrorKind::configuration, what_ + " \"" + path_ + "\" is refused: \"" + where + "\" belongs to " +
                                          name_of(facts.st_uid) + " and has mode " + octal(facts.st_mode & 07777) +
                                          ", so others than root could exchange what lies there; run: " + command +
                                          ", or name another directory"};
  }

  const std::string path_;
  const std::string what_;
  const uid_t also_;
  std::deque<std::string> rest_;
  std::string where_;
  Descriptor current_;
  struct stat here_ {};
  unsigned links_ = 0;
};

// Nothing there is anybody else's. What does not exist is nobody's.
bool is_of(int directory, const char* name, uid_t user) {
  struct stat facts {};
  if (fstatat(directory, name, &facts, AT_SYMLINK_NOFOLLOW) != 0) return errno == ENOENT;
  return facts.st_uid == user && !S_ISLNK(facts.st_mode) && !open_to_others(facts);
}

}  // namespace

std::optional<std::uint32_t> single_owner(const std::string& state_path) {
  const Descriptor directory(open(state_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct stat facts {};
  if (!directory.valid() || fstat(directory.get(), &facts) != 0 || facts.st_uid == 0) return std::nullopt;
  for (const char* const name : {"seal.key", "leader", "state"})
    if (!is_of(directory.get(), name, facts.st_uid)) return std::nullopt;
  if (!Walk(state_path, "", facts.st_uid).go()) return std::nullopt;
  return facts.st_uid;
}

Result<Done> check_only_root_writes(const std::string& path, const std::string& what) {
  return geteuid() == 0 ? Walk(path, what).go() : Result<Done>(Done{});
}

}  // namespace evercert
