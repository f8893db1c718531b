#include "agent/run/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

#include "evercert/descriptor.h"

namespace evercert {

ServiceManager::ServiceManager(const std::string& address) {
  sockaddr_un where{};
  if (address.size() < 2 || address.size() >= sizeof where.sun_path || (address[0] != '/' && address[0] != '@')) return;
  where.sun_family = AF_UNIX;
  std::memcpy(where.sun_path, address.data(), address.size());
  if (address[0] == '@') where.sun_path[0] = '\0';
  // An abstract name ends with its last byte, not with a null byte.
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size() + (address[0] == '/' ? 1 : 0));
  Descriptor made(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (made.valid() && ::connect(made.get(), reinterpret_cast<const sockaddr*>(&where), size) == 0) socket_ = std::move(made);
}

// One that does not read is not waited for: its own patience decides.
void ServiceManager::say(const char* word) const {
  if (socket_.valid()) static_cast<void>(::send(socket_.get(), word, std::strlen(word), MSG_NOSIGNAL | MSG_DONTWAIT) < 0);
}

}  // namespace evercert
