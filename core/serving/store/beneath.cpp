#include "serving/store/beneath.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string_view>

#include "serving/base/files.h"

namespace evercert {
namespace {

struct DirectoryCloser {
  void operator()(DIR* directory) const noexcept { closedir(directory); }
};
using DirectoryHandle = std::unique_ptr<DIR, DirectoryCloser>;

// -1 with errno, as openat.
int open_at_once(int directory, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how));
}

int open_step_by_step(int directory, std::string_view path, int flags) {
  Descriptor current;
  while (true) {
    const std::size_t end = path.find('/');
    const std::string component(path.substr(0, end));
    const bool last = end == std::string_view::npos;
    if (component.empty() || component == "..") {
      errno = EXDEV;
      return -1;
    }
    const int from = current.valid() ? current.get() : directory;
    const int step = last ? flags : O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
    Descriptor next(openat(from, component.c_str(), step | O_NOFOLLOW));
    if (!next.valid() || last) return next.release();
    current = std::move(next);
    path.remove_prefix(end + 1);
  }
}

}  // namespace

Result<std::optional<Descriptor>> open_beneath(int directory, const std::string& path, int flags, OpenMethod method) {
  static std::atomic<bool> kernel_refuses{false};
  const std::string wanted = path.empty() ? "." : path;
  const int all_flags = flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | ((flags & O_PATH) == 0 ? O_NONBLOCK : 0);
  int number = -1;
  bool walk = method == OpenMethod::walk || kernel_refuses.load(std::memory_order_relaxed);
  if (!walk) {
    // EAGAIN: a rename went on elsewhere on the machine while ".." was being judged.
    for (int attempt = 0; attempt < 8; ++attempt) {
      number = open_at_once(directory, wanted, all_flags);
      if (number >= 0 || (errno != EAGAIN && errno != EINTR)) break;
    }
    // A sandbox may answer EPERM for system calls it does not know; the walk tells whether that was the file's own answer.
    if (number < 0 && (errno == ENOSYS || errno == EPERM)) {
      if (errno == ENOSYS) kernel_refuses.store(true, std::memory_order_relaxed);
      walk = true;
    }
  }
  if (walk) number = open_step_by_step(directory, wanted, all_flags);
  if (number >= 0) return std::optional<Descriptor>(Descriptor(number));
  const int code = errno;
  if (code == ENOENT) return std::optional<Descriptor>();
  if (code == ELOOP || code == EXDEV) {
    return Error{ErrorKind::storage, "\"" + path + "\" in the state directory cannot be opened: it is or goes through a symbolic "
                                                   "link, which is never followed there; replace it by the real thing"};
  }
  return system_error(ErrorKind::storage, "\"" + path + "\" in the state directory cannot be opened", code);
}

Result<std::optional<Bytes>> read_beneath(int directory, const std::string& path, std::size_t limit) {
  auto opened = open_beneath(directory, path, O_RDONLY);
  if (!opened) return opened.error();
  if (!*opened) return std::optional<Bytes>();
  const int file = (*opened)->get();
  struct stat status {};
  const std::string what = "\"" + path + "\" in the state directory cannot be read";
  if (fstat(file, &status) != 0) return system_error(ErrorKind::storage, what, errno);
  if (!S_ISREG(status.st_mode)) return Error{ErrorKind::storage, what + ": it is not a regular file"};
  if (static_cast<std::size_t>(status.st_size) > limit) return Error{ErrorKind::storage, what + ": it is too large"};
  Bytes content(static_cast<std::size_t>(status.st_size));
  std::size_t filled = 0;
  while (filled < content.size()) {
    const ssize_t got = ::read(file, content.data() + filled, content.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(ErrorKind::storage, what, errno);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  content.resize(filled);
  return std::optional<Bytes>(std::move(content));
}

Result<std::vector<DirectoryEntry>> entries_of(Descriptor directory) {
  const DirectoryHandle opened(fdopendir(directory.get()));
  if (!opened) return system_error(ErrorKind::storage, "a directory in the state directory cannot be listed", errno);
  directory.release();
  std::vector<DirectoryEntry> entries;
  while (true) {
    errno = 0;
    const dirent* const found = readdir(opened.get());
    if (found == nullptr) break;
    const std::string_view name = found->d_name;
    if (name == "." || name == "..") continue;
    DirectoryEntry entry{std::string(name)};
    unsigned kind = found->d_type;
    if (kind == DT_UNKNOWN) {
      struct stat status {};
      if (fstatat(dirfd(opened.get()), found->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
      kind = S_ISREG(status.st_mode) ? DT_REG : S_ISDIR(status.st_mode) ? DT_DIR : DT_LNK;
    }
    if (kind == DT_REG) entry.kind = DirectoryEntry::Kind::file;
    if (kind == DT_DIR) entry.kind = DirectoryEntry::Kind::directory;
    entries.push_back(std::move(entry));
  }
  if (errno != 0) return system_error(ErrorKind::storage, "a directory in the state directory cannot be listed", errno);
  return entries;
}

}  // namespace evercert
