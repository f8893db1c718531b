#include "agent/deliver/cli_socket.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include "evercert/descriptor.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

constexpr std::chrono::seconds socket_patience{10};
// A list of ten thousand certificates by their paths.
constexpr std::size_t longest_answer = std::size_t{4} << 20;

Error at(const std::string& path, int code) {
  return system_error(ErrorKind::connection, "HAProxy's socket " + path + " does not answer", code);
}

Result<Descriptor> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return at(path, ENAMETOOLONG);
  path.copy(address.sun_path, path.size());
  Descriptor link(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit{socket_patience.count(), 0};
  if (!link.valid() || ::setsockopt(link.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
      ::setsockopt(link.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0 ||
      ::connect(link.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return at(path, errno);
  return link;
}

}  // namespace

Result<std::string> ask_haproxy(const std::string& path, std::string_view command) {
  auto link = connect_to(path);
  if (!link) return link.error();
  for (std::string_view rest = command; !rest.empty();) {
    const ssize_t sent = ::send(link->get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    // It closes on what is longer than its buffer, having read a part of it.
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) return std::string();
    if (sent < 0) return at(path, errno);
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
  ::shutdown(link->get(), SHUT_WR);
  std::string answer;
  std::array<char, 4096> part;
  for (;;) {
    const ssize_t size = ::recv(link->get(), part.data(), part.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    // A master that reloads itself cuts its connections.
    if (size < 0 && errno == ECONNRESET) return answer;
    if (size < 0) return at(path, errno);
    if (size == 0) return answer;
    if (answer.size() < longest_answer) answer.append(part.data(), static_cast<std::size_t>(size));
  }
}

std::string first_line(const std::string& answer) {
  const auto begin = answer.find_first_not_of("\r\n .");
  if (begin == std::string::npos) return "no answer";
  return answer.substr(begin, std::min<std::size_t>(answer.find('\n', begin) - begin, 300));
}

}  // namespace evercert
