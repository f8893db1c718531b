#include "serving/platform/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <string_view>

#include "evercert/descriptor.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

struct DirectoryCloser {
  void operator()(DIR* directory) const noexcept { closedir(directory); }
};
using DirectoryHandle = std::unique_ptr<DIR, DirectoryCloser>;

DirectoryEntry::Kind kind_of(int directory, const dirent& found) {
  if (found.d_type == DT_REG) return DirectoryEntry::Kind::file;
  if (found.d_type == DT_DIR) return DirectoryEntry::Kind::directory;
  // Some file systems do not tell in the listing.
  struct stat status {};
  if (found.d_type != DT_UNKNOWN || fstatat(directory, found.d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return DirectoryEntry::Kind::other;
  }
  if (S_ISREG(status.st_mode)) return DirectoryEntry::Kind::file;
  return S_ISDIR(status.st_mode) ? DirectoryEntry::Kind::directory : DirectoryEntry::Kind::other;
}

// Far above what is ever stored; whoever may write there can make more.
constexpr std::size_t most_entries = 1'000'000;

}  // namespace

Result<std::vector<DirectoryEntry>> entries_of(Descriptor directory) {
  const DirectoryHandle opened(fdopendir(directory.get()));
  if (!opened) return system_error(ErrorKind::storage, "cannot list a directory in the state directory", errno);
  directory.release();
  std::vector<DirectoryEntry> entries;
  while (true) {
    errno = 0;
    const dirent* const found = readdir(opened.get());
    if (found == nullptr) break;
    const std::string_view name = found->d_name;
    if (entries.size() >= most_entries)
      return Error{ErrorKind::storage, "a directory in the state directory holds more than a million files"};
    if (name != "." && name != "..") entries.push_back({std::string(name), kind_of(dirfd(opened.get()), *found)});
  }
  if (errno != 0) return system_error(ErrorKind::storage, "cannot list a directory in the state directory", errno);
  return entries;
}

}  // namespace evercert
