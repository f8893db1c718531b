#include "agent/run/control.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "serving/base/files.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

constexpr std::size_t portion = std::size_t{64} << 10;
constexpr std::chrono::seconds send_patience{10};

// False: the deadline passed first.
bool wait_for(int socket, short events, std::chrono::steady_clock::time_point deadline) {
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd waiting{socket, events, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1 << 30)));
    if (ready != 0 && !(ready < 0 && errno == EINTR)) {
      return ready > 0;
    }
    if (left.count() <= 0) {
      return false;
    }
  }
}

}  // namespace

std::string control_socket_path(const std::string& state_path) {
  return state_path + "/state/agent.sock";
}

Result<ControlConnection> ControlConnection::open(const std::string& state_path) {
  const std::string path = control_socket_path(state_path);
  const std::string folder = state_path + "/state";
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  // A path longer than an address has room for is reached through a descriptor of its folder.
  Descriptor directory;
  std::string reachable = path;
  if (path.size() >= sizeof name.sun_path) {
    directory = Descriptor(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!directory.valid()) {
      return system_error(ErrorKind::connection, "cannot open " + folder, errno);
    }
    reachable = "/proc/self/fd/" + std::to_string(directory.get()) + "/agent.sock";
  }
  std::memcpy(name.sun_path, reachable.c_str(), reachable.size() + 1);

  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) {
    return system_error(ErrorKind::connection, "no socket", errno);
  }
  // An agent whose queue of connections is full makes connect() wait; not for ever.
  const timeval limit{send_patience.count(), 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  int outcome = 0;
  do {
    outcome = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name);
  } while (outcome != 0 && errno == EINTR);
  if (outcome != 0) {
    return system_error(ErrorKind::connection, "no agent answers at " + path, errno);
  }
  ::fcntl(socket.get(), F_SETFL, O_NONBLOCK);
  return ControlConnection(std::move(socket));
}

Result<Done> ControlConnection::send(const Json& message) {
  const std::string line = dump_json(message) + "\n";
  if (line.size() > largest_plan_line) {
    return Error{ErrorKind::internal, "a message of " + std::to_string(line.size()) + " bytes is too long for the agent"};
  }
  const auto deadline = std::chrono::steady_clock::now() + send_patience;
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t sent = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      if (!wait_for(socket_.get(), POLLOUT, deadline)) {
        return Error{ErrorKind::connection, "the agent does not read what it is sent"};
      }
    } else if (errno != EINTR) {
      return system_error(ErrorKind::connection, "the connection to the agent broke", errno);
    }
  }
  return Done{};
}

bool ControlConnection::ready(std::chrono::milliseconds timeout) const {
  return buffer_.find('\n') != std::string::npos || wait_for(socket_.get(), POLLIN, std::chrono::steady_clock::now() + timeout);
}

Result<std::optional<Json>> ControlConnection::receive(std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::size_t searched = 0;
  while (true) {
    const std::size_t newline = buffer_.find('\n', searched);
    if (newline != std::string::npos) {
      Result<Json> message = parse_json(std::string_view(buffer_).substr(0, newline), "a message of the agent");
      buffer_.erase(0, newline + 1);
      if (!message) {
        return Error{ErrorKind::internal, message.error().message};
      }
      return std::optional<Json>(std::move(*message));
    }
    searched = buffer_.size();
    if (searched >= largest_answer_line) {
      return Error{ErrorKind::internal, "a message of the agent is longer than any that an agent sends"};
    }
    buffer_.resize(searched + portion);
    const ssize_t got = ::recv(socket_.get(), buffer_.data() + searched, portion, MSG_DONTWAIT);
    const int fault = errno;
    buffer_.resize(searched + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got == 0) {
      if (!buffer_.empty()) {
        return Error{ErrorKind::connection, "the agent went away in the middle of a message"};
      }
      return std::optional<Json>();
    }
    if (got < 0 && fault != EAGAIN && fault != EINTR) {
      return system_error(ErrorKind::connection, "the connection to the agent broke", fault);
    }
    if (got < 0 && fault == EAGAIN && !wait_for(socket_.get(), POLLIN, deadline)) {
      return Error{ErrorKind::connection, "the agent said nothing for " + std::to_string(timeout.count()) + " ms"};
    }
  }
}

}  // namespace evercert
