#include "agent/store/file_lock.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <optional>

#include "serving/base/encoding.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

using Moment = std::chrono::steady_clock::time_point;

class FileLock : public StoreLock {
 public:
  FileLock(Descriptor directory, Descriptor file, std::string file_name)
      : directory_(std::move(directory)), file_(std::move(file)), file_name_(std::move(file_name)) {}

  [[nodiscard]] std::uint64_t fence() const override { return fence_; }

  // The kernel takes no lock away; but who removes the file lets another process lock a new one.
  [[nodiscard]] bool lost() const override {
    struct stat mine {};
    struct stat present {};
    return fstat(file_.get(), &mine) != 0 ||
           fstatat(directory_.get(), file_name_.c_str(), &present, AT_SYMLINK_NOFOLLOW) != 0 || mine.st_ino != present.st_ino ||
           mine.st_dev != present.st_dev;
  }

  Result<Done> raise_fence() {
    std::array<char, 32> text{};
    const ssize_t size = pread(file_.get(), text.data(), text.size(), 0);
    if (size < 0) return system_error(ErrorKind::storage, "cannot read the lock locks/" + file_name_, errno);
    std::from_chars(text.data(), text.data() + size, fence_);
    ++fence_;
    const std::string next = std::to_string(fence_) + "\n";
    if (pwrite(file_.get(), next.data(), next.size(), 0) != static_cast<ssize_t>(next.size())) {
      return system_error(ErrorKind::storage, "cannot write the lock locks/" + file_name_, errno);
    }
    return Done{};
  }

 private:
  Descriptor directory_;
  Descriptor file_;
  std::string file_name_;
  std::uint64_t fence_ = 0;
};

// Tells when somebody closes a lock file, which is how a lock is freed, also by kill -9.
class CloseNotice {
 public:
  CloseNotice(int file, std::stop_token stop)
      : notice_(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)),
        stopped_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        on_stop_(std::move(stop), Wake{stopped_.get()}) {
    const std::string path = "/proc/self/fd/" + std::to_string(file);
    // Without the notice the waiter still looks every 20 ms.
    if (notice_.valid()) inotify_add_watch(notice_.get(), path.c_str(), IN_CLOSE_WRITE | IN_DELETE_SELF);
  }

  void wait_until(Moment deadline) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    const auto longest = std::chrono::milliseconds(eager_ > 0 ? 1 : 20);
    if (eager_ > 0) --eager_;
    std::array<pollfd, 2> watched{pollfd{notice_.get(), POLLIN, 0}, pollfd{stopped_.get(), POLLIN, 0}};
    const auto pause = std::clamp(left, std::chrono::milliseconds(0), longest);
    if (poll(watched.data(), watched.size(), static_cast<int>(pause.count())) <= 0) return;
    alignas(inotify_event) std::array<char, 4096> events{};
    while (read(notice_.get(), events.data(), events.size()) > 0) {
      // The kernel tells of the close a moment before it drops the lock.
      eager_ = 10;
    }
  }

 private:
  struct Wake {
    int descriptor;
    void operator()() const noexcept { eventfd_write(descriptor, 1); }
  };
  Descriptor notice_;
  Descriptor stopped_;
  std::stop_callback<Wake> on_stop_;
  int eager_ = 0;
};

bool try_lock(int file) {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  return fcntl(file, F_OFD_SETLK, &whole) == 0;
}

}  // namespace

Result<std::unique_ptr<StoreLock>> lock_file(Descriptor directory, const std::string& name, std::chrono::milliseconds wait,
                                             const std::stop_token& stop) {
  const Moment deadline = std::chrono::steady_clock::now() + wait;
  const Bytes digest = sha256({reinterpret_cast<const std::uint8_t*>(name.data()), name.size()});
  const std::string file_name = to_hex(digest).substr(0, 32);
  while (true) {
    Descriptor file(openat(directory.get(), file_name.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600));
    if (!file.valid()) return system_error(ErrorKind::storage, "cannot open the lock \"" + name + "\"", errno);
    bool locked = try_lock(file.get());
    std::optional<CloseNotice> notice;
    while (!locked) {
      if (errno != EAGAIN && errno != EACCES && errno != EINTR) {
        return system_error(ErrorKind::storage, "cannot take the lock \"" + name + "\"", errno);
      }
      if (stop.stop_requested() || std::chrono::steady_clock::now() >= deadline) return std::unique_ptr<StoreLock>();
      if (notice) {
        notice->wait_until(deadline);
      } else {
        notice.emplace(file.get(), stop);  // and look once more: it may have been freed before the notice was set up
      }
      locked = try_lock(file.get());
    }
    Descriptor kept(fcntl(directory.get(), F_DUPFD_CLOEXEC, 0));
    if (!kept.valid()) return system_error(ErrorKind::storage, "cannot keep the lock \"" + name + "\"", errno);
    auto lock = std::make_unique<FileLock>(std::move(kept), std::move(file), file_name);
    if (lock->lost()) continue;  // somebody removed the file while we waited for it
    if (const auto raised = lock->raise_fence(); !raised) return raised.error();
    return std::unique_ptr<StoreLock>(std::move(lock));
  }
}

}  // namespace evercert
