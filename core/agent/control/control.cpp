#include "agent/control/control.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "evercert/descriptor.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"
#include "serving/base/limits.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

constexpr std::size_t longest_message = largest_plan_line;
constexpr std::size_t longest_greeting = 256;
constexpr std::size_t portion = std::size_t{64} << 10;
constexpr std::chrono::seconds send_patience{10};

using Deadline = std::chrono::steady_clock::time_point;

Deadline after(std::chrono::milliseconds timeout) {
  return std::chrono::steady_clock::now() + timeout;
}

// False: the deadline passed first.
bool wait_for(int socket, short events, Deadline deadline) {
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

// Not valid: errno says why.
Descriptor connected(const std::string& state_path, ControlConnection::Wait wait) {
  const std::string folder = state_path + "/state";
  const Descriptor directory(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory.valid()) {
    return Descriptor();
  }
  // Through its folder: no link in the folder's own place, and a longer path than an address has room for.
  const std::string reachable = "/proc/self/fd/" + std::to_string(directory.get()) + "/agent.sock";
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, reachable.c_str(), reachable.size() + 1);

  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) {
    return socket;
  }
  // An agent whose queue of connections is full makes connect() wait; not for ever.
  const timeval limit{send_patience.count(), 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (wait == ControlConnection::Wait::no) {
    ::fcntl(socket.get(), F_SETFL, O_NONBLOCK);
  }
  int outcome = 0;
  do {
    outcome = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name);
  } while (outcome != 0 && errno == EINTR);
  if (outcome != 0) {
    const int fault = errno;
    socket = Descriptor();
    errno = fault;
  }
  return socket;
}

}  // namespace

std::string control_socket_path(const std::string& state_path) {
  return state_path + "/state/agent.sock";
}

std::optional<bool> somebody_listens(const std::string& state_path) {
  if (connected(state_path, ControlConnection::Wait::no).valid() || errno == EAGAIN) return true;
  return errno == ECONNREFUSED || errno == ENOENT ? std::optional(false) : std::nullopt;
}

Result<ControlConnection> ControlConnection::open(const std::string& state_path, const SealKey& agent, Wait wait) {
  Descriptor socket = connected(state_path, wait);
  if (!socket.valid()) {
    return system_error(ErrorKind::connection, "no agent answers at " + control_socket_path(state_path), errno);
  }
  ::fcntl(socket.get(), F_SETFL, O_NONBLOCK);
  return ControlConnection(std::move(socket), agent);
}

std::optional<ControlConnection::Listener> ControlConnection::listener() const {
  ucred facts{};
  socklen_t size = sizeof facts;
  if (::getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &facts, &size) != 0) {
    return std::nullopt;
  }
  return Listener{facts.pid, facts.uid};
}

Result<Done> ControlConnection::say_number() {
  if (!number_.empty()) {
    return Done{};
  }
  number_ = random_bytes(SealedStream::number_size);
  return send_bytes(dump_json(Json{{"seal", to_base64url(number_)}}) + "\n");
}

Result<Done> ControlConnection::begin_stream() {
  const Error stranger{ErrorKind::connection, "what listens there is no agent of this release"};
  const std::size_t end = buffer_.find('\n');
  if (end == std::string::npos) {
    return buffer_.size() > longest_greeting ? Result<Done>(stranger) : Result<Done>(Done{});
  }
  const Result<Json> greeting = parse_json(std::string_view(buffer_).substr(0, end), "the agent's greeting");
  const Result<std::string> text =
      greeting ? json_text(*greeting, "seal", "the agent's greeting") : Result<std::string>(greeting.error());
  const Result<Bytes> number = text ? from_base64url(*text) : Result<Bytes>(text.error());
  if (!number || number->size() != SealedStream::number_size) {
    return stranger;
  }
  buffer_.erase(0, end + 1);
  Result<SealedStream> stream = SealedStream::begin(agent_, number_, *number, SealedStream::Side::client);
  if (!stream) {
    return stream.error();
  }
  stream_ = std::move(*stream);
  return Done{};
}

Result<bool> ControlConnection::prove(std::chrono::milliseconds timeout) {
  const Deadline deadline = after(timeout);
  if (Result<Done> said = say_number(); !said) {
    return said.error();
  }
  while (!proved_) {
    if (!stream_) {
      if (Result<Done> begun = begin_stream(); !begun) {
        return begun.error();
      }
    }
    if (stream_) {
      Result<std::optional<std::string>> proof = stream_->open(buffer_, longest_greeting);
      if (!proof) {
        return Error{ErrorKind::connection,
                     "what listens there does not hold the key of this state directory (seal.key); nothing was sent to it"};
      }
      if (*proof) {
        proved_ = true;
        const Result<Json> said = parse_json(**proof, "the agent's proof");
        const Result<std::int64_t> pid = said ? json_number(*said, "agent", "the agent's proof") : Result<std::int64_t>(0);
        agent_pid_ = pid ? *pid : 0;
        Result<Done> sent = send(Json{{"client", 1}});
        return sent ? Result<bool>(true) : Result<bool>(sent.error());
      }
    }
    Result<bool> more = fetch(deadline);
    if (!more) {
      return more.error();
    }
    if (ended_) {
      return Error{ErrorKind::connection, "what listens there hung up"};
    }
    if (!*more) {
      return false;
    }
  }
  return true;
}

Result<Done> ControlConnection::send(const Json& message) {
  if (!proved_) {
    return Error{ErrorKind::internal, "nothing is sent to an agent that has not proved itself"};
  }
  const std::string text = dump_json(message);
  if (text.size() > longest_message) {
    return Error{ErrorKind::internal, "a message of " + std::to_string(text.size()) + " bytes is too long for the agent"};
  }
  Result<std::string> frame = stream_->seal(text);
  return frame ? send_bytes(*frame) : Result<Done>(frame.error());
}

Result<Done> ControlConnection::send_bytes(std::string_view bytes) {
  const Deadline deadline = after(send_patience);
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
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
  return SealedStream::holds_frame(buffer_) || wait_for(socket_.get(), POLLIN, after(timeout));
}

Result<bool> ControlConnection::fetch(Deadline deadline) {
  const std::size_t before = buffer_.size();
  while (true) {
    buffer_.resize(before + portion);
    const ssize_t got = ::recv(socket_.get(), buffer_.data() + before, portion, MSG_DONTWAIT);
    const int fault = errno;
    buffer_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got > 0) {
      return true;
    }
    if (got == 0) {
      ended_ = true;
      return true;
    }
    if (fault != EAGAIN && fault != EINTR) {
      return system_error(ErrorKind::connection, "the connection to the agent broke", fault);
    }
    if (fault == EAGAIN && !wait_for(socket_.get(), POLLIN, deadline)) {
      return false;
    }
  }
}

Result<std::optional<Json>> ControlConnection::receive(std::chrono::milliseconds timeout) {
  const Deadline deadline = after(timeout);
  if (!proved_) {
    return Error{ErrorKind::internal, "nothing is believed of an agent that has not proved itself"};
  }
  while (true) {
    Result<std::optional<std::string>> text = stream_->open(buffer_, largest_answer_line);
    if (!text) {
      return text.error();
    }
    if (*text) {
      Result<Json> message = parse_json(**text, "a message of the agent");
      if (!message) {
        return Error{ErrorKind::internal, message.error().message};
      }
      return std::optional<Json>(std::move(*message));
    }
    if (ended_ && !buffer_.empty()) {
      return Error{ErrorKind::connection, "the agent went away in the middle of a message"};
    }
    if (ended_) {
      return std::optional<Json>();
    }
    Result<bool> more = fetch(deadline);
    if (!more) {
      return more.error();
    }
    if (!*more) {
      return Error{ErrorKind::connection, "the agent said nothing for " + std::to_string(timeout.count()) + " ms"};
    }
  }
}

}  // namespace evercert
