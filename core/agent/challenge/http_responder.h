// Answers validation requests where no web server of ours does: a thread of its own that knows nothing but what is below
// /.well-known/. It faces the network: every length, count and time has a limit, and where a place is wanted the oldest idle
// connection of the address that has most goes first.
#pragma once

#include <poll.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "agent/net/acceptor.h"
#include "evercert/descriptor.h"
#include "evercert/result.h"

namespace evercert {

class HttpResponder {
 public:
  // What is shown to whoever asks a host for a path; called on the responder's thread.
  using Lookup = std::function<std::optional<std::string>(std::string_view host, std::string_view path)>;

  // Listens on each address ("0.0.0.0", "::"; IPv6 sockets take IPv6 only) until destroyed. An address family that this
  // machine does not have is passed over as long as another one works. Errors: configuration, when one of the addresses is
  // taken (a CA that prefers that family would ask somebody else), or when none can be listened on.
  static Result<std::unique_ptr<HttpResponder>> start(const std::vector<std::string>& addresses, std::uint16_t port,
                                                      Lookup lookup);
  ~HttpResponder();
  HttpResponder(const HttpResponder&) = delete;
  HttpResponder& operator=(const HttpResponder&) = delete;

 private:
  struct Connection;
  HttpResponder() = default;
  // An error inside: the machine has no such address.
  Result<std::optional<Error>> listen_on(const std::string& address, std::uint16_t port);
  void run(const std::stop_token& stop);
  // What poll(2) says; empty when it cannot wait any more.
  [[nodiscard]] std::vector<pollfd> wait_for() const;
  void accept_from(int listener);
  bool make_room(const std::string& address);
  [[nodiscard]] std::string busiest_address() const;
  void serve(Connection& connection, short events);
  [[nodiscard]] std::string answer_to(std::string_view head) const;

  std::vector<Descriptor> listeners_;
  std::vector<Connection> connections_;  // in the order they came
  Acceptor acceptor_;
  Descriptor wake_;
  Lookup lookup_;
  std::jthread thread_;
};

}  // namespace evercert
