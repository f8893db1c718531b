#include "agent/run/election.h"

#include <fcntl.h>

#include <cerrno>

#include "serving/base/files.h"

namespace evercert {

Result<Election> Election::open(int state_directory) {
  Descriptor file(openat(state_directory, "agent.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return system_error(ErrorKind::storage, "cannot open the lock file agent.lock", errno);
  return Election(std::move(file));
}

Result<bool> Election::stand() {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (fcntl(file_.get(), F_OFD_SETLK, &whole) == 0) {
    leading_ = true;
    return true;
  }
  if (errno == EAGAIN || errno == EACCES || errno == EINTR) return false;
  return system_error(ErrorKind::storage, "cannot lock agent.lock", errno);
}

void Election::resign() {
  if (!leading_) return;
  struct flock whole {};
  whole.l_type = F_UNLCK;
  whole.l_whence = SEEK_SET;
  static_cast<void>(fcntl(file_.get(), F_OFD_SETLK, &whole));
  leading_ = false;
}

}  // namespace evercert
