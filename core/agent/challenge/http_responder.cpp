#include "agent/challenge/http_responder.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <map>
#include <thread>

#include "evercert/descriptor.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

constexpr std::size_t connection_limit = 128;
// A CA's validators may share one.
constexpr std::size_t limit_of_an_address = 48;
constexpr std::chrono::milliseconds without_descriptors{100};
constexpr std::size_t head_limit = 8192;
constexpr std::chrono::seconds connection_time{10};
constexpr std::string_view prefix = "/.well-known/";

using Steady = std::chrono::steady_clock;

std::string response_of(const char* status, std::string_view body, bool with_body) {
  std::string text = std::string("HTTP/1.1 ") + status +
                     "\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) +
                     "\r\nConnection: close\r\n\r\n";
  if (with_body) text += body;
  return text;
}

// The host that is asked for, by the Host field (RFC 9110 section 7.2).
std::string_view host_field(std::string_view head) {
  for (auto line = head.find("\r\n"); line != std::string_view::npos && line + 2 < head.size();) {
    const auto end = head.find("\r\n", line + 2);
    std::string_view field = head.substr(line + 2, end == std::string_view::npos ? end : end - line - 2);
    constexpr std::string_view name = "host:";
    if (field.size() >= name.size() && strncasecmp(field.data(), name.data(), name.size()) == 0) {
      field.remove_prefix(name.size());
      while (!field.empty() && (field.front() == ' ' || field.front() == '\t')) field.remove_prefix(1);
      while (!field.empty() && (field.back() == ' ' || field.back() == '\t')) field.remove_suffix(1);
      return field;
    }
    line = end;
  }
  return {};
}

// Without the port; IPv6 by the half that a subscriber is given.
std::string address_of(int socket) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return {};
  if (peer.ss_family == AF_INET) {
    const auto& address = reinterpret_cast<const sockaddr_in&>(peer).sin_addr;
    return {reinterpret_cast<const char*>(&address), sizeof address};
  }
  const auto& address = reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr;
  return {reinterpret_cast<const char*>(&address), sizeof address / 2};
}

struct AddressListRelease {
  void operator()(addrinfo* list) const noexcept { freeaddrinfo(list); }
};

}  // namespace

struct HttpResponder::Connection {
  Descriptor socket;
  std::string address;  // of the peer
  Steady::time_point deadline;
  std::string head;
  std::string answer;
  std::size_t sent = 0;
  bool lingering = false;  // answered; waits for the peer to close, so that it reads the answer before a reset
};

Result<std::unique_ptr<HttpResponder>> HttpResponder::start(const std::vector<std::string>& addresses, std::uint16_t port,
                                                            Lookup lookup) {
  std::unique_ptr<HttpResponder> responder(new HttpResponder);
  responder->lookup_ = std::move(lookup);
  std::optional<Error> missing;
  for (const auto& address : addresses) {
    auto listens = responder->listen_on(address, port);
    if (!listens) return listens.error();
    if (*listens) missing = *listens;
  }
  if (responder->listeners_.empty()) {
    return missing.value_or(Error{ErrorKind::configuration, "no address is given to answer challenges on"});
  }
  responder->wake_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!responder->wake_.valid()) return system_error(ErrorKind::internal, "eventfd for the challenge responder", errno);
  HttpResponder* self = responder.get();
  responder->thread_ = std::jthread([self](const std::stop_token& stop) {
    at_boundary(
        0,
        [&] {
          self->run(stop);
          return 0;
        },
        [](const std::string&) {});
  });
  return responder;
}

HttpResponder::~HttpResponder() {
  thread_.request_stop();
  if (wake_.valid()) eventfd_write(wake_.get(), 1);
}

Result<std::optional<Error>> HttpResponder::listen_on(const std::string& address, std::uint16_t port) {
  const std::string what = "cannot answer challenges on " + address + " port " + std::to_string(port);
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int code = getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &list); code != 0) {
    return Error{ErrorKind::configuration, what + ": " + gai_strerror(code)};
  }
  const std::unique_ptr<addrinfo, AddressListRelease> owned(list);
  Descriptor socket(::socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid() && errno == EAFNOSUPPORT) return std::optional(system_error(ErrorKind::configuration, what, errno));
  if (!socket.valid()) return system_error(ErrorKind::configuration, what, errno);
  const int on = 1;
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (list->ai_family == AF_INET6) setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (bind(socket.get(), list->ai_addr, list->ai_addrlen) != 0 || listen(socket.get(), 128) != 0) {
    // IPv6 that was switched off has sockets, but no address.
    if (errno == EADDRNOTAVAIL) return std::optional(system_error(ErrorKind::configuration, what, errno));
    Error taken = system_error(ErrorKind::configuration, what, errno);
    if (errno == EADDRINUSE) {
      taken.message +=
          "; the CA may knock there: stop what listens on that port, or have it pass challenges on to the address and port of "
          "the option http_listen";
    }
    return taken;
  }
  listeners_.push_back(std::move(socket));
  return std::optional<Error>();
}

// The wake-up, then the listeners, then the connections.
std::vector<pollfd> HttpResponder::wait_for() const {
  std::vector<pollfd> waiting;
  waiting.reserve(1 + listeners_.size() + connections_.size());
  waiting.push_back({wake_.get(), POLLIN, 0});
  for (const auto& listener : listeners_) waiting.push_back({listener.get(), POLLIN, 0});
  int timeout = -1;
  const auto now = Steady::now();
  for (const auto& connection : connections_) {
    const bool reads = connection.answer.empty() || connection.lingering;
    waiting.push_back({connection.socket.get(), static_cast<short>(reads ? POLLIN : POLLOUT), 0});
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(connection.deadline - now).count();
    const int wait = static_cast<int>(std::max<decltype(left)>(left, 0));
    timeout = timeout < 0 ? wait : std::min(timeout, wait);
  }
  const bool failed = poll(waiting.data(), waiting.size(), timeout) < 0 && errno != EINTR;
  return failed ? std::vector<pollfd>() : waiting;
}

void HttpResponder::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const std::vector<pollfd> waiting = wait_for();
    if (waiting.empty() || stop.stop_requested()) return;
    for (std::size_t i = 0; i < connections_.size(); ++i) serve(connections_[i], waiting[1 + listeners_.size() + i].revents);
    std::erase_if(connections_, [](const Connection& connection) {
      return !connection.socket.valid() || connection.deadline <= Steady::now();
    });
    for (std::size_t i = 0; i < listeners_.size(); ++i) {
      if ((waiting[1 + i].revents & POLLIN) != 0) accept_from(listeners_[i].get());
    }
  }
}

void HttpResponder::accept_from(int listener) {
  // Bounded, so that those who are here are served in between.
  for (std::size_t count = 0; count < connection_limit; ++count) {
    auto accepted = acceptor_.accept(listener);
    if (accepted.outcome == Acceptor::Outcome::exhausted) std::this_thread::sleep_for(without_descriptors);
    if (!accepted.socket.valid()) return;
    std::string address = address_of(accepted.socket.get());
    const auto of_it = std::count_if(connections_.begin(), connections_.end(),
                                     [&](const Connection& other) { return other.address == address; });
    const bool full = connections_.size() >= connection_limit || static_cast<std::size_t>(of_it) >= limit_of_an_address ||
                      accepted.outcome == Acceptor::Outcome::on_reserve;
    if (full && !make_room(static_cast<std::size_t>(of_it) >= limit_of_an_address ? address : busiest_address())) continue;
    connections_.push_back({std::move(accepted.socket), std::move(address), Steady::now() + connection_time, {}, {}, 0, false});
  }
}

std::string HttpResponder::busiest_address() const {
  std::map<std::string, std::size_t> counts;
  for (const Connection& connection : connections_) ++counts[connection.address];
  const auto most =
      std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == counts.end() ? std::string() : most->first;
}

// Idle is who has not asked yet, or has been answered.
bool HttpResponder::make_room(const std::string& address) {
  const auto oldest = std::find_if(connections_.begin(), connections_.end(), [&](const Connection& connection) {
    return connection.address == address && (connection.answer.empty() || connection.lingering);
  });
  if (oldest == connections_.end()) return false;
  connections_.erase(oldest);
  return true;
}

void HttpResponder::serve(Connection& connection, short events) {
  if (events == 0) return;
  if (connection.lingering || connection.answer.empty()) {
    std::array<char, 2048> bytes;
    const ssize_t count = read(connection.socket.get(), bytes.data(), bytes.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) {
      connection.socket.reset();
      return;
    }
    if (connection.lingering) return;
    connection.head.append(bytes.data(), static_cast<std::size_t>(count));
    const auto end = connection.head.find("\r\n\r\n");
    // Nothing found is above every limit.
    if (end <= head_limit) {
      connection.answer = answer_to(connection.head);
    } else if (connection.head.size() > head_limit) {
      connection.answer = response_of("431 Request Header Fields Too Large", "", true);
    } else {
      return;
    }
  }
  const ssize_t count = send(connection.socket.get(), connection.answer.data() + connection.sent,
                             connection.answer.size() - connection.sent, MSG_NOSIGNAL);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count < 0) {
    connection.socket.reset();
    return;
  }
  connection.sent += static_cast<std::size_t>(count);
  if (connection.sent < connection.answer.size()) return;
  shutdown(connection.socket.get(), SHUT_WR);
  connection.lingering = true;
}

std::string HttpResponder::answer_to(std::string_view head) const {
  const std::string_view line = head.substr(0, head.find("\r\n"));
  const auto first = line.find(' ');
  const auto last = line.rfind(' ');
  if (first == std::string_view::npos || first == last || !line.substr(last + 1).starts_with("HTTP/1.")) {
    return response_of("400 Bad Request", "", true);
  }
  const std::string_view method = line.substr(0, first);
  const bool with_body = method != "HEAD";
  if (method != "GET" && method != "HEAD") return response_of("405 Method Not Allowed", "", true);
  std::string_view path = line.substr(first + 1, last - first - 1);
  std::string_view host = host_field(head);
  // The absolute form must be understood too, and its host goes before the field's (RFC 9112 section 3.2.2).
  constexpr std::string_view scheme = "http://";
  if (path.starts_with(scheme)) {
    const auto slash = path.find('/', scheme.size());
    host = path.substr(scheme.size(), slash == std::string_view::npos ? slash : slash - scheme.size());
    path = slash == std::string_view::npos ? std::string_view("/") : path.substr(slash);
  }
  path = path.substr(0, path.find('?'));
  if (!path.starts_with(prefix)) return response_of("404 Not Found", "", with_body);
  const auto answer = lookup_(host, path);
  if (!answer) return response_of("404 Not Found", "", with_body);
  return response_of("200 OK", *answer, with_body);
}

}  // namespace evercert
