#include "agent/deliver/runtime_api.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string_view>

#include "serving/base/files.h"

namespace evercert {
namespace {

constexpr std::chrono::seconds patience{10};
constexpr std::size_t longest_answer = 65536;

Error at(const std::string& path, int code) {
  return system_error(ErrorKind::connection, "HAProxy's socket " + path + " does not answer", code);
}

Result<Descriptor> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return at(path, ENAMETOOLONG);
  path.copy(address.sun_path, path.size());
  Descriptor link(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit{patience.count(), 0};
  if (!link.valid() || ::setsockopt(link.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
      ::setsockopt(link.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0 ||
      ::connect(link.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return at(path, errno);
  return link;
}

// Everything HAProxy says until it closes the connection.
Result<std::string> ask(const std::string& path, std::string_view command) {
  auto link = connect_to(path);
  if (!link) return link.error();
  for (std::string_view rest = command; !rest.empty();) {
    const ssize_t sent = ::send(link->get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
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

}  // namespace

Result<Done> exchange_certificate(const std::string& path, const std::string& file, const Secret& content) {
  // A command ends at the first empty line: there is none inside PEM as we write it.
  std::string command = "set ssl cert " + file + " <<\n" + std::string(content.text());
  if (!command.ends_with('\n')) command += '\n';
  command += '\n';
  auto said = ask(path, command);
  wipe(command);
  if (said && said->find("ransaction") != std::string::npos) said = ask(path, "commit ssl cert " + file + "\n");
  if (said && said->find("Success") != std::string::npos) return Done{};
  const Error why = said ? Error{ErrorKind::internal, "HAProxy refuses " + file + " at its stats socket: " + first_line(*said)}
                         : said.error();
  static_cast<void>(ask(path, "abort ssl cert " + file + "\n").has_value());
  return why;
}

Result<Done> reload_by_master(const std::string& path) {
  auto said = ask(path, "reload\n");
  if (!said) return said.error();
  if (said->find("Success=0") != std::string::npos)
    return Error{ErrorKind::internal, "HAProxy's master could not reload: " + first_line(*said)};
  return Done{};
}

}  // namespace evercert
