// The agent's end of a control connection, for tests of who asks: greets, proves itself, and then reads and says what the test
// wants. Reads wait.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <string>

#include "agent/control/sealed_stream.h"
#include "evercert/descriptor.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"

namespace evercert {

class SealedPeer {
 public:
  SealedPeer(Descriptor socket, const SealKey& agent) : socket_(std::move(socket)), agent_(agent) {}

  // False: the client went away before it had proved itself.
  bool greet() {
    std::string line;
    char letter = 0;
    while (::read(socket_.get(), &letter, 1) == 1 && letter != '\n') line += letter;
    const auto hello = parse_json(line, "the client's number");
    const auto number = hello ? json_text(*hello, "seal", "it") : Result<std::string>(hello.error());
    const auto theirs = number ? from_base64url(*number) : Result<Bytes>(number.error());
    if (!theirs) return false;
    const Bytes ours = random_bytes(SealedStream::number_size);
    auto stream = SealedStream::begin(agent_, *theirs, ours, SealedStream::Side::server);
    if (!stream) return false;
    stream_ = std::move(*stream);
    if (!send_bytes("{\"seal\":\"" + to_base64url(ours) + "\"}\n") || !say("{\"agent\":4711}")) return false;
    return next().has_value();
  }
  // The next message; nullopt once the client has gone.
  std::optional<std::string> next() {
    for (;;) {
      auto message = stream_->open(received_, std::size_t{64} << 20);
      if (!message) return std::nullopt;
      if (*message) return **message;
      char part[65536];
      const ssize_t got = ::read(socket_.get(), part, sizeof part);
      if (got <= 0) return std::nullopt;
      received_.append(part, static_cast<std::size_t>(got));
    }
  }
  std::string sealed(const std::string& text) { return stream_->seal(text).value(); }
  bool say(const std::string& text) { return send_bytes(sealed(text)); }
  bool send_bytes(const std::string& bytes) {
    for (std::size_t sent = 0; sent < bytes.size();) {
      const ssize_t step = ::send(socket_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (step <= 0) return false;
      sent += static_cast<std::size_t>(step);
    }
    return true;
  }
  void hang_up() { socket_.reset(); }

 private:
  Descriptor socket_;
  const SealKey& agent_;
  std::optional<SealedStream> stream_;
  std::string received_;
};

}  // namespace evercert
