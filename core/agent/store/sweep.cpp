// Removing what killed writers left behind.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <string_view>

#include "agent/store/file_store.h"
#include "evercert/descriptor.h"
#include "serving/platform/directory.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

constexpr std::chrono::hours stale_after{1};

// ".<name>.XXXXXX", nothing else: other programs' hidden files are not ours to remove.
bool is_unfinished(std::string_view name) {
  constexpr std::size_t random_part = 6;
  if (name.size() < random_part + 3 || name.front() != '.' || name[name.size() - random_part - 1] != '.') return false;
  const std::string_view random = name.substr(name.size() - random_part);
  return std::all_of(random.begin(), random.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; });
}

bool is_stale(const Descriptor& directory, const DirectoryEntry& entry, std::chrono::system_clock::time_point now) {
  if (entry.kind != DirectoryEntry::Kind::file || !is_unfinished(entry.name)) return false;
  struct stat status {};
  if (fstatat(directory.get(), entry.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return false;
  return std::chrono::system_clock::from_time_t(status.st_mtime) + stale_after < now;
}

}  // namespace

Result<std::size_t> sweep_unfinished_files(int state, std::chrono::system_clock::time_point now) {
  std::size_t removed = 0;
  std::vector<std::string> open{"."};
  while (!open.empty()) {
    const std::string path = std::move(open.back());
    open.pop_back();
    const Descriptor directory(path == "." ? openat(state, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                                           : open_beneath(state, path, O_RDONLY | O_DIRECTORY));
    if (!directory.valid() && errno == ENOENT) continue;
    if (!directory.valid()) return system_error(ErrorKind::storage, "cannot sweep " + path, errno);
    const auto entries = entries_of(Descriptor(openat(directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
    if (!entries) return entries.error();
    for (const DirectoryEntry& entry : *entries) {
      if (entry.kind == DirectoryEntry::Kind::directory) open.push_back(path == "." ? entry.name : path + "/" + entry.name);
      if (is_stale(directory, entry, now) && unlinkat(directory.get(), entry.name.c_str(), 0) == 0) ++removed;
    }
  }
  return removed;
}

}  // namespace evercert
