#include "agent/net/dns_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>

#include "evercert/descriptor.h"

namespace evercert {
namespace {

using Deadline = std::chrono::steady_clock::time_point;
constexpr std::size_t largest_message = 65535;
// How soon a stop is noticed.
constexpr std::chrono::milliseconds slice{200};

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Result<Address> address_of(const DnsServer& server) {
  Address address;
  auto* four = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* six = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (inet_pton(AF_INET, server.address.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(server.port);
    address.size = sizeof(sockaddr_in);
    return address;
  }
  if (inet_pton(AF_INET6, server.address.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(server.port);
    address.size = sizeof(sockaddr_in6);
    return address;
  }
  return Error{ErrorKind::configuration, "\"" + server.address + "\" is no address of a name server"};
}

Error failed(const DnsServer& server, const std::string& why) {
  return {ErrorKind::dns, "the name server " + server.text() + " " + why};
}

Error failed(const DnsServer& server, int code) {
  Error error = failed(server, std::string("could not be asked: ") + std::strerror(code));
  if (code == ENETUNREACH || code == EHOSTUNREACH || code == EADDRNOTAVAIL || code == EAFNOSUPPORT) {
    error.problem = std::make_shared<const Problem>(Problem{no_route, "", "", {}});
  }
  return error;
}

Result<Done> await_socket(const DnsServer& server, int socket, short events, Deadline deadline, const std::stop_token& stop) {
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return failed(server, "did not answer in time");
    if (stop.stop_requested()) return failed(server, "was not waited for because the program ends");
    pollfd wanted{socket, events, 0};
    const int ready = ::poll(&wanted, 1, static_cast<int>(std::min(left, slice).count()));
    if (ready > 0) return Done{};
    if (ready < 0 && errno != EINTR) return failed(server, errno);
  }
}

Result<Descriptor> connect_to(const DnsServer& server, int kind, Deadline deadline, const std::stop_token& stop) {
  auto address = address_of(server);
  if (!address) return address.error();
  Descriptor socket(::socket(address->storage.ss_family, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return failed(server, errno);
  if (::connect(socket.get(), address->get(), address->size) == 0) return socket;
  if (errno != EINPROGRESS) return failed(server, errno);
  if (auto ready = await_socket(server, socket.get(), POLLOUT, deadline, stop); !ready) return ready.error();
  int code = 0;
  socklen_t size = sizeof code;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &code, &size);
  if (code != 0) return failed(server, code);
  return socket;
}

// Moves all of `bytes` by send or recv; 0 from the peer is the end of the stream.
template <typename Move>
Result<Done> move_all(const DnsServer& server, int socket, short events, std::size_t size, Move move, Deadline deadline,
                      const std::stop_token& stop) {
  for (std::size_t done = 0; done < size;) {
    const ssize_t moved = move(done);
    if (moved > 0) {
      done += static_cast<std::size_t>(moved);
    } else if (moved == 0) {
      return failed(server, "closed the connection without an answer");
    } else if (errno != EAGAIN && errno != EINTR) {
      return failed(server, errno);
    } else if (auto ready = await_socket(server, socket, events, deadline, stop); !ready) {
      return ready.error();
    }
  }
  return Done{};
}

// RFC 1035 section 4.2.2: two bytes of length before each message.
Result<Bytes> over_tcp(const DnsServer& server, const Bytes& message, Deadline deadline, const std::stop_token& stop) {
  auto socket = connect_to(server, SOCK_STREAM, deadline, stop);
  if (!socket) return socket.error();
  Bytes framed{static_cast<std::uint8_t>(message.size() >> 8), static_cast<std::uint8_t>(message.size() & 0xff)};
  framed.insert(framed.end(), message.begin(), message.end());
  const int number = socket->get();
  const auto send = [&](std::size_t at) { return ::send(number, framed.data() + at, framed.size() - at, MSG_NOSIGNAL); };
  if (auto sent = move_all(server, number, POLLOUT, framed.size(), send, deadline, stop); !sent) return sent.error();
  std::array<std::uint8_t, 2> length{};
  const auto head = [&](std::size_t at) { return ::recv(number, length.data() + at, length.size() - at, 0); };
  if (auto read = move_all(server, number, POLLIN, length.size(), head, deadline, stop); !read) return read.error();
  Bytes answer((static_cast<std::size_t>(length[0]) << 8) | length[1]);
  const auto body = [&](std::size_t at) { return ::recv(number, answer.data() + at, answer.size() - at, 0); };
  if (auto read = move_all(server, number, POLLIN, answer.size(), body, deadline, stop); !read) return read.error();
  return answer;
}

Result<DnsAnswer> over_udp(const DnsServer& server, const DnsMessage& message, Deadline deadline, const std::stop_token& stop) {
  // A fresh socket for each try: another port, which makes forged answers harder (RFC 5452).
  auto socket = connect_to(server, SOCK_DGRAM, deadline, stop);
  if (!socket) return socket.error();
  if (::send(socket->get(), message.wire.data(), message.wire.size(), MSG_NOSIGNAL) < 0) return failed(server, errno);
  Bytes buffer(largest_message);
  for (;;) {
    if (auto ready = await_socket(server, socket->get(), POLLIN, deadline, stop); !ready) return ready.error();
    const ssize_t size = ::recv(socket->get(), buffer.data(), buffer.size(), 0);
    if (size < 0 && errno != EAGAIN && errno != EINTR) return failed(server, errno);
    if (size <= 0) continue;
    // What is no answer to this question may be forged: the true one may still come.
    auto answer = read_answer({buffer.begin(), buffer.begin() + size}, message);
    if (answer) return answer;
  }
}

}  // namespace

Result<DnsAnswer> ask_name_server(const DnsServer& server, const DnsQuestion& question, const DnsTiming& timing) {
  auto message = make_query(question);
  if (!message) return message.error();
  Result<DnsAnswer> answer = failed(server, "was not asked");
  for (unsigned attempt = 0; attempt < timing.tries && !answer && !timing.stop.stop_requested(); ++attempt) {
    answer = over_udp(server, *message, std::chrono::steady_clock::now() + timing.per_try, timing.stop);
  }
  if (!answer || !answer->truncated) return answer;
  auto whole = over_tcp(server, message->wire, std::chrono::steady_clock::now() + timing.per_try, timing.stop);
  if (!whole) return whole.error();
  answer = read_answer(*whole, *message);
  return answer ? answer : failed(server, "answered nonsense: " + answer.error().message);
}

Result<Done> update_name_server(const DnsServer& server, const std::string& zone, DnsChange change, const DnsRecord& record,
                                const TsigKey& key, const DnsTiming& timing) {
  auto message = make_update(zone, change, record, key);
  if (!message) return message.error();
  auto answer = over_tcp(server, message->wire, std::chrono::steady_clock::now() + timing.per_try * 3, timing.stop);
  if (!answer) return answer.error();
  auto done = read_update_answer(*answer, *message, key);
  if (!done) {
    return done.error().with_prefix("the name server " + server.text() + " did not " +
                                    (change == DnsChange::add ? "add" : "remove") + " the " + to_string(record.type) +
                                    " record " + record.name + " in the zone " + zone);
  }
  return done;
}

}  // namespace evercert
