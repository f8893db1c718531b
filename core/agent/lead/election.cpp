#include "agent/lead/election.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <set>
#include <utility>

#include "evercert/descriptor.h"
#include "serving/platform/files.h"
#include "serving/platform/inspect.h"

namespace evercert {
namespace {

// Two locks of one process do not exclude each other in the kernel.
class OwnFiles {
 public:
  static bool take(int file) {
    const std::lock_guard guard(mutex());
    return names().insert(name_of(file)).second;
  }
  static void give_back(int file) {
    const std::lock_guard guard(mutex());
    names().erase(name_of(file));
  }

 private:
  using Name = std::pair<dev_t, ino_t>;
  static Name name_of(int file) {
    struct stat facts {};
    return fstat(file, &facts) == 0 ? Name(facts.st_dev, facts.st_ino) : Name();
  }
  static std::mutex& mutex() {
    static std::mutex one;
    return one;
  }
  static std::set<Name>& names() {
    static std::set<Name> all;
    return all;
  }
};

struct flock bytes(short type, off_t begin, off_t count) {
  struct flock range {};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = begin;
  range.l_len = count;
  return range;
}

std::optional<pid_t> holder_of(int file, off_t byte) {
  auto asked = bytes(F_WRLCK, byte, 1);
  if (fcntl(file, F_GETLK, &asked) != 0 || asked.l_type == F_UNLCK) return std::nullopt;
  return asked.l_pid;
}

}  // namespace

Election::Election(Election&& other) noexcept
    : file_(other.file_), as_(other.as_), leading_(std::exchange(other.leading_, false)) {}

Result<bool> Election::stand() {
  if (leading_) return true;
  if (!OwnFiles::take(file_)) return false;
  auto wanted = bytes(F_WRLCK, 0, as_ == As::agent ? 2 : 1);
  if (fcntl(file_, F_SETLK, &wanted) == 0) {
    leading_ = true;
    return true;
  }
  const int code = errno;
  OwnFiles::give_back(file_);
  if (code == EAGAIN || code == EACCES || code == EINTR) return false;
  return system_error(ErrorKind::storage, "cannot lock the file \"leader\" of the state_path", code);
}

void Election::resign() {
  if (!std::exchange(leading_, false)) return;
  auto all = bytes(F_UNLCK, 0, 2);
  static_cast<void>(fcntl(file_, F_SETLK, &all));
  OwnFiles::give_back(file_);
}

std::optional<Election::Holder> Election::holder() const {
  const auto leads = holder_of(file_, 0);
  if (!leads) return std::nullopt;
  return Holder{*leads, holder_of(file_, 1) == leads};
}

Ending end_silent(const Election& election, const Election::Holder& holder) {
  if (holder.pid <= 0 || !holder.agent) return Ending::not_allowed;
  const Descriptor process(static_cast<int>(syscall(SYS_pidfd_open, holder.pid, 0U)));
  // Looked at once more: the number may belong to another process by now.
  const auto again = election.holder();
  if (!again || again->pid != holder.pid) return Ending::ended;
  if (!process.valid()) return Ending::not_allowed;
  if (waits_for_a_disk(holder.pid)) return Ending::waits_for_disk;
  return syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0U) == 0 ? Ending::ended : Ending::not_allowed;
}

}  // namespace evercert
