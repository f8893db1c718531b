#include "serving/launch/hand_over.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "serving/base/json.h"
#include "serving/platform/files.h"

namespace evercert {

namespace {

constexpr std::size_t most_descriptors = 7;

// Returns errno, 0 for done.
int send_with(int channel, std::string text, const int* descriptors, std::size_t count) {
  const std::size_t size = sizeof(int) * count;
  iovec part{text.data(), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * most_descriptors)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (count > 0) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(size);
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(size);
    std::memcpy(CMSG_DATA(rights), descriptors, size);
  }
  ssize_t sent = -1;
  do {
    sent = ::sendmsg(channel, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? errno : 0;
}

}  // namespace

Result<Done> hand_over(int channel, const Instance& instance, const Cycle& cycle) {
  const std::array<int, most_descriptors> descriptors{instance.board.get(), instance.report.get(), instance.wake.get(),
                                                      cycle.plan.get(),     cycle.secrets.get(),   cycle.leader.get(),
                                                      instance.link.get()};
  const std::size_t count = instance.link.valid() ? descriptors.size() : descriptors.size() - 1;
  if (const int code = send_with(channel, dump_json(Json{{"instance", instance.id}}), descriptors.data(), count))
    return system_error(ErrorKind::internal, "cannot hand the agent its descriptors", code);
  return Done{};
}

Result<Done> tell_again(int channel, const Supervisor::Program& program) {
  const int image = program.image ? program.image->get() : -1;
  if (const int code = send_with(channel, dump_json(Json{{"again", program.path}}), &image, program.image ? 1 : 0))
    return system_error(ErrorKind::connection, "the agent does not listen", code);
  return Done{};
}

}  // namespace evercert
