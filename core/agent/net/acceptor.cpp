#include "agent/net/acceptor.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "evercert/descriptor.h"

namespace evercert {

Acceptor::Acceptor() {
  keep_reserve();
}

void Acceptor::keep_reserve() {
  if (!reserve_.valid()) reserve_ = Descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

Acceptor::Accepted Acceptor::accept(int listener) {
  keep_reserve();
  const auto take = [listener] { return Descriptor(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)); };
  Descriptor socket = take();
  if (socket.valid()) return {Outcome::accepted, std::move(socket)};
  if (errno != EMFILE && errno != ENFILE) return {};
  if (!reserve_.valid()) return {Outcome::exhausted, {}};
  reserve_.reset();
  socket = take();
  if (socket.valid()) return {Outcome::on_reserve, std::move(socket)};
  keep_reserve();
  return {errno == EMFILE || errno == ENFILE ? Outcome::exhausted : Outcome::nothing, {}};
}

}  // namespace evercert
