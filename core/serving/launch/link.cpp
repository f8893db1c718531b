#include "evercert/link.h"

#include <openssl/crypto.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "evercert/descriptor.h"
#include "serving/base/bounds.h"
#include "serving/base/json.h"
#include "serving/launch/carried_format.h"
#include "serving/launch/told.h"
#include "serving/platform/files.h"

namespace evercert {

namespace {

constexpr unsigned lines_at_once = 64;

std::optional<LinkMessage> interpret(std::string_view text) {
  const auto end = text.find('\n');
  const auto header = parse_json(text.substr(0, end), "a message of the agent");
  if (!header) return std::nullopt;
  LinkMessage message;
  if (auto name = json_text(*header, "renewal", "a message")) {
    message.certificate = *name;
    message.said = json_text(*header, "said", "a message").has_value() ? *json_text(*header, "said", "a message") : "";
    return message;
  }
  const auto name = json_text(*header, "certificate", "a message");
  const auto generation = json_number(*header, "generation", "a message", 1, static_cast<std::int64_t>(highest_generation));
  const auto names = json_texts(*header, "files", "a message");
  const auto sizes = header->find("sizes");
  if (!name || !generation || !names || end == std::string_view::npos || sizes == header->end() || !sizes->is_array() ||
      sizes->size() != names->size())
    return std::nullopt;
  message.certificate = *name;
  message.generation = static_cast<std::uint64_t>(*generation);
  std::string_view rest = text.substr(end + 1);
  for (std::size_t index = 0; index < names->size(); ++index) {
    const Json& size = (*sizes)[index];
    if (!size.is_number_unsigned() || size.get<std::size_t>() > rest.size()) return std::nullopt;
    message.files.push_back({(*names)[index], Secret::from_text(rest.substr(0, size.get<std::size_t>()))});
    rest.remove_prefix(size.get<std::size_t>());
  }
  return message;
}

}  // namespace

Result<LinkEnds> LinkEnds::create() {
  std::array<int, 2> ends{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return system_error(ErrorKind::internal, "cannot make the link to the agent", errno);
  LinkEnds made{Descriptor(ends[0]), Descriptor(ends[1])};
  const int room = static_cast<int>(largest_link_message);
  if (::setsockopt(made.agent.get(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room) != 0)
    return system_error(ErrorKind::internal, "cannot make room on the link to the agent", errno);
  return made;
}

AgentLink::AgentLink(Descriptor keeper, Descriptor worker, Logger& log)
    : keeper_(std::move(keeper)), worker_(std::move(worker)), log_(log), room_(largest_link_message) {}

void AgentLink::go() {
  if (::send(keeper_.get(), go_message.data(), go_message.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
    log_.write(LogLevel::error, "evercert: the agent cannot be told to begin: its keeper has gone; reload the server");
}

void AgentLink::tend() {
  std::array<char, 16384> text;
  for (unsigned count = 0; keeper_.valid() && count < lines_at_once; ++count) {
    const ssize_t size = ::recv(keeper_.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (size <= 0) {
      log_.write(LogLevel::error,
                 "evercert: the agent's keeper has gone: certificates are served on, but none is renewed until this server is "
                 "reloaded");
      return keeper_.reset();
    }
    if (static_cast<std::size_t>(size) > text.size()) continue;
    const auto message = parse_json({text.data(), static_cast<std::size_t>(size)}, "a message of the agent");
    if (message) write_told(*message, log_);
  }
}

std::optional<LinkMessage> AgentLink::receive() {
  for (;;) {
    const ssize_t size = ::recv(worker_.get(), room_.data(), room_.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return std::nullopt;
    if (static_cast<std::size_t>(size) > room_.size()) continue;
    auto message = interpret({room_.data(), static_cast<std::size_t>(size)});
    ::OPENSSL_cleanse(room_.data(), static_cast<std::size_t>(size));
    if (message) return message;
  }
}

void AgentLink::swapped(const std::string& certificate, std::uint64_t generation) {
  send(dump_json({{"swapped", certificate}, {"generation", generation}}));
}

void AgentLink::refused(const std::string& certificate, std::uint64_t generation, std::string_view why) {
  send(dump_json({{"refused", certificate}, {"generation", generation}, {"message", std::string(why.substr(0, 500))}}));
}

bool AgentLink::ask_renewal(const std::string& certificate) {
  return send(dump_json({{"renew", certificate}}));
}

bool AgentLink::send(const std::string& message) {
  return ::send(worker_.get(), message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

}  // namespace evercert
