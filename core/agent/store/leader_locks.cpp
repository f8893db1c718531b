#include "agent/store/leader_locks.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <set>
#include <tuple>

#include "serving/base/encoding.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

using Moment = std::chrono::steady_clock::time_point;
using BytePlace = std::tuple<dev_t, ino_t, off_t>;

constexpr off_t first_byte = off_t{1} << 40;  // no content reaches it
constexpr std::chrono::microseconds shortest_pause{200};
constexpr std::chrono::microseconds longest_pause{20000};

struct flock range_of(short type, off_t byte) {
  struct flock range {};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = byte;
  range.l_len = 1;
  return range;
}

// What this process holds, or is trying to get: its threads are one to the kernel.
class OwnBytes {
 public:
  bool take(const BytePlace& place, Moment deadline, const std::stop_token& stop) {
    std::unique_lock guard(mutex_);
    if (!freed_.wait_until(guard, stop, deadline, [&] { return !taken_.contains(place); })) return false;
    return taken_.insert(place).second;
  }
  void give_back(const BytePlace& place) {
    {
      const std::lock_guard guard(mutex_);
      taken_.erase(place);
    }
    freed_.notify_all();
  }
  // False: stopped.
  bool pause(std::chrono::microseconds length, const std::stop_token& stop) {
    std::unique_lock guard(mutex_);
    freed_.wait_for(guard, stop, length, [] { return false; });
    return !stop.stop_requested();
  }
  static OwnBytes& of_this_process() {
    static OwnBytes one;
    return one;
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any freed_;
  std::set<BytePlace> taken_;
};

class LeaderLock : public StoreLock {
 public:
  explicit LeaderLock(BytePlace place) : place_(std::move(place)) {}
  LeaderLock(const LeaderLock&) = delete;
  LeaderLock& operator=(const LeaderLock&) = delete;
  ~LeaderLock() override {
    if (file_ >= 0) {
      auto freed = range_of(F_UNLCK, std::get<off_t>(place_));
      static_cast<void>(fcntl(file_, F_SETLK, &freed));
    }
    OwnBytes::of_this_process().give_back(place_);
  }
  bool try_kernel(int file) {
    auto wanted = range_of(F_WRLCK, std::get<off_t>(place_));
    if (fcntl(file, F_SETLK, &wanted) != 0) return false;
    file_ = file;
    return true;
  }

 private:
  BytePlace place_;
  int file_ = -1;
};

}  // namespace

off_t leader_byte_of(std::string_view name) {
  const Bytes digest = sha256({reinterpret_cast<const std::uint8_t*>(name.data()), name.size()});
  std::uint64_t number = 0;
  for (std::size_t at = 0; at < sizeof number; ++at) number = number << 8 | digest[at];
  return first_byte + static_cast<off_t>(number >> 2);
}

Result<std::unique_ptr<StoreLock>> lock_leader_byte(int leader_file, off_t byte, std::chrono::milliseconds wait,
                                                    const std::stop_token& stop) {
  const Moment deadline = std::chrono::steady_clock::now() + wait;
  struct stat facts {};
  if (fstat(leader_file, &facts) != 0)
    return system_error(ErrorKind::storage, "cannot lock the file \"leader\" of the state_path", errno);
  auto& own = OwnBytes::of_this_process();
  const BytePlace place(facts.st_dev, facts.st_ino, byte);
  if (!own.take(place, deadline, stop)) return std::unique_ptr<StoreLock>();
  auto lock = std::make_unique<LeaderLock>(place);
  for (auto pause = shortest_pause; !lock->try_kernel(leader_file); pause = std::min(pause * 2, longest_pause)) {
    if (errno != EAGAIN && errno != EACCES && errno != EINTR)
      return system_error(ErrorKind::storage, "cannot lock the file \"leader\" of the state_path", errno);
    if (std::chrono::steady_clock::now() >= deadline || !own.pause(pause, stop)) return std::unique_ptr<StoreLock>();
  }
  return std::unique_ptr<StoreLock>(std::move(lock));
}

std::optional<pid_t> holder_of_leader_byte(int leader_file, off_t byte) {
  auto asked = range_of(F_WRLCK, byte);
  if (fcntl(leader_file, F_GETLK, &asked) != 0 || asked.l_type == F_UNLCK) return std::nullopt;
  return asked.l_pid;
}

}  // namespace evercert
