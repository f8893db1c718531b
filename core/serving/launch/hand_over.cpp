#include "serving/launch/hand_over.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "serving/base/files.h"
#include "serving/base/json.h"

namespace evercert {

Result<Done> hand_over(int channel, const Instance& instance, const Cycle& cycle) {
  const std::array<int, 7> descriptors{instance.board.get(), instance.report.get(), instance.wake.get(), cycle.plan.get(),
                                       cycle.secrets.get(),  cycle.leader.get(),    instance.link.get()};
  const std::size_t size = sizeof(int) * (instance.link.valid() ? descriptors.size() : descriptors.size() - 1);
  std::string text = dump_json(Json{{"instance", instance.id}});
  iovec part{text.data(), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof descriptors)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = CMSG_SPACE(size);
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(size);
  std::memcpy(CMSG_DATA(rights), descriptors.data(), size);
  ssize_t sent = -1;
  do {
    sent = ::sendmsg(channel, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return system_error(ErrorKind::internal, "cannot hand the agent its descriptors", errno);
  return Done{};
}

}  // namespace evercert
