#include "serving/platform/files.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "evercert/descriptor.h"
#include "serving/base/encoding.h"

namespace evercert {

namespace {

// Walks component by component; for kernels and sandboxes without openat2.
int open_stepwise(int directory, const std::string& path, int flags) {
  Descriptor current(::fcntl(directory, F_DUPFD_CLOEXEC, 0));
  std::size_t begin = 0;
  while (current.valid()) {
    const std::size_t end = path.find('/', begin);
    const std::string component = path.substr(begin, end == std::string::npos ? end : end - begin);
    if (component.empty() || component == "." || component == "..") {
      errno = EXDEV;
      return -1;
    }
    if (end == std::string::npos) return ::openat(current.get(), component.c_str(), flags | O_NOFOLLOW);
    current = Descriptor(::openat(current.get(), component.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    begin = end + 1;
  }
  return -1;
}

// Errors: errno; EFBIG and no memory taken for what is too large. A file that grows meanwhile is refused at the limit.
bool read_all(int descriptor, Bytes& content, std::size_t limit) {
  struct stat facts {};
  if (::fstat(descriptor, &facts) != 0) return false;
  const auto size = static_cast<std::uint64_t>(std::max<off_t>(facts.st_size, 0));
  if (size > limit) {
    errno = EFBIG;
    return false;
  }
  // One byte more than there are, to see the end; files of /proc have a size of none.
  content.resize(static_cast<std::size_t>(size) + 1);
  std::size_t filled = 0;
  while (filled <= limit) {
    if (filled == content.size()) content.resize(std::min(std::max<std::size_t>(content.size() * 2, 4096), limit + 1));
    const ssize_t count = ::read(descriptor, content.data() + filled, content.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    if (count == 0) {
      content.resize(filled);
      return true;
    }
    filled += static_cast<std::size_t>(count);
  }
  errno = EFBIG;
  return false;
}

Error not_read(const std::string& path, std::size_t limit) {
  const int code = errno;
  if (code != EFBIG) return system_error(ErrorKind::storage, "cannot read " + path, code);
  const std::string most =
      limit >= size::mebi ? std::to_string(limit / size::mebi) + " MiB" : std::to_string(limit / size::kibi) + " KiB";
  return {ErrorKind::storage, path + " is not read: it is larger than the " + most + " that such a file may have"};
}

bool write_all(int descriptor, BytesView content) {
  while (!content.empty()) {
    const ssize_t count = ::write(descriptor, content.data(), content.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    content = content.subspan(static_cast<std::size_t>(count));
  }
  return true;
}

bool finish_file(int descriptor, BytesView content, const WriteOptions& options) {
  if (::fchmod(descriptor, options.mode) != 0) return false;
  if (options.group && ::fchown(descriptor, static_cast<uid_t>(-1), *options.group) != 0) return false;
  if (!write_all(descriptor, content)) return false;
  return !options.durable || ::fsync(descriptor) == 0;
}

}  // namespace

Error system_error(ErrorKind kind, const std::string& what, int code) {
  Error error{kind, what + ": " + std::generic_category().message(code)};
  error.denied = code == EACCES || code == EPERM;
  return error;
}

int open_beneath(int directory, const std::string& path, int flags) {
  flags |= O_CLOEXEC;
  if (directory == AT_FDCWD) return ::open(path.c_str(), flags);
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  const long opened = ::syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how);
  if (opened < 0 && (errno == ENOSYS || errno == EPERM)) return open_stepwise(directory, path, flags);
  return static_cast<int>(opened);
}

namespace {

// nullopt: it does not exist.
Result<std::optional<Descriptor>> open_regular(int directory, const std::string& path) {
  // Not blocking: somebody may have left a pipe under this name.
  Descriptor file(open_beneath(directory, path, O_RDONLY | O_NONBLOCK));
  if (!file.valid()) {
    if (errno == ENOENT) return std::optional<Descriptor>();
    return system_error(ErrorKind::storage, "cannot open " + path, errno);
  }
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0) return system_error(ErrorKind::storage, "cannot read " + path, errno);
  if (!S_ISREG(facts.st_mode)) return Error{ErrorKind::storage, "cannot read " + path + ": it is not a regular file"};
  return std::optional<Descriptor>(std::move(file));
}

}  // namespace

Result<std::optional<Bytes>> read_file(int directory, const std::string& path, std::size_t limit) {
  const auto file = open_regular(directory, path);
  if (!file) return file.error();
  if (!*file) return std::optional<Bytes>();
  Bytes content;
  if (!read_all((*file)->get(), content, limit)) return not_read(path, limit);
  return std::optional<Bytes>(std::move(content));
}

Result<std::optional<Bytes>> read_file_start(int directory, const std::string& path, std::size_t size) {
  const auto file = open_regular(directory, path);
  if (!file) return file.error();
  if (!*file) return std::optional<Bytes>();
  Bytes content(size);
  const ssize_t count = ::pread((*file)->get(), content.data(), size, 0);
  if (count < 0) return system_error(ErrorKind::storage, "cannot read " + path, errno);
  content.resize(static_cast<std::size_t>(count));
  return std::optional<Bytes>(std::move(content));
}

namespace {

// A link, other than a rename, never replaces what is there.
bool put_in_place(int parent, const std::string& beside, const std::string& name, bool fresh) {
  if (!fresh) return ::renameat(parent, beside.c_str(), parent, name.c_str()) == 0;
  return ::linkat(parent, beside.c_str(), parent, name.c_str(), 0) == 0 && ::unlinkat(parent, beside.c_str(), 0) == 0;
}

}  // namespace

Result<Done> write_file(int directory, const std::string& path, BytesView content, const WriteOptions& options) {
  const std::filesystem::path whole(path);
  const std::string folder = whole.parent_path().string();
  const std::string name = whole.filename().string();
  const Descriptor parent(folder.empty() && directory != AT_FDCWD
                              ? ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                              : open_beneath(directory, folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY));
  if (!parent.valid()) return system_error(ErrorKind::storage, "cannot open the directory of " + path, errno);

  const std::string beside = "." + name + "." + to_hex(random_bytes(3));
  Descriptor file(::openat(parent.get(), beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) return system_error(ErrorKind::storage, "cannot create a file beside " + path, errno);
  bool written = finish_file(file.get(), content, options);
  int code = errno;
  if (::close(file.release()) != 0 && written) {
    written = false;
    code = errno;
  }
  if (written && !put_in_place(parent.get(), beside, name, options.fresh)) {
    written = false;
    code = errno;
  }
  if (!written) {
    ::unlinkat(parent.get(), beside.c_str(), 0);
    return system_error(ErrorKind::storage, "cannot write " + path, code);
  }
  if (options.durable && ::fsync(parent.get()) != 0)
    return system_error(ErrorKind::storage, "cannot make " + path + " durable", errno);
  return Done{};
}

Result<Bytes> read_descriptor(int descriptor, std::size_t limit) {
  if (::lseek(descriptor, 0, SEEK_SET) < 0) return system_error(ErrorKind::storage, "cannot read the file", errno);
  Bytes content;
  if (!read_all(descriptor, content, limit)) return not_read("the file", limit);
  return content;
}

}  // namespace evercert
