#include "agent/run/inheritance.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <vector>

#include "evercert/descriptor.h"
#include "evercert/launch.h"
#include "serving/base/json.h"
#include "serving/base/log_words.h"
#include "serving/platform/files.h"
#include "serving/platform/inspect.h"

namespace evercert {

namespace {

constexpr std::size_t descriptor_count = 6;
constexpr std::size_t longest_log_line = 2000;

Result<Done> protect_this_process() {
  if (auto undumpable = make_undumpable(); !undumpable) return undumpable;
  // A program that was executed by descriptor is called by its number.
  ::prctl(PR_SET_NAME, "evercert");
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) return system_error(ErrorKind::internal, "cannot forbid core files", errno);
  // A tracer that came before is not sent away by the kernel.
  if (auto safe = check_protected(::getpid()); !safe) return safe.error().with_prefix("this process cannot be given secrets");
  // Whoever stopped it could else keep it, and what it holds, beyond the end of the server.
  static_cast<void>(::prctl(PR_SET_PDEATHSIG, SIGCONT));
  return Done{};
}

struct Message {
  std::string text;
  std::vector<Descriptor> descriptors;
};

void collect(msghdr& message, std::vector<Descriptor>& descriptors) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t index = 0; index < count; ++index) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(part) + index * sizeof number, sizeof number);
      descriptors.emplace_back(number);
    }
  }
}

Error gone() {
  return {ErrorKind::connection, "the server that started this agent has gone"};
}

// nullopt: nothing there yet.
Result<std::optional<Message>> receive(int channel) {
  std::array<char, 4096> text;
  // Room for more than was agreed, so that a surplus is seen and closed.
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 32)> control{};
  iovec part{text.data(), text.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t size = ::recvmsg(channel, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return std::optional<Message>();
  if (size == 0 || (size < 0 && errno == ECONNRESET)) return gone();
  if (size < 0) return system_error(ErrorKind::connection, "cannot read from the server that started this agent", errno);
  Message message{{text.data(), static_cast<std::size_t>(size)}, {}};
  collect(header, message.descriptors);
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) message.descriptors.clear();
  return std::optional<Message>(std::move(message));
}

constexpr std::string_view ready_message = "{\"ready\":1}";

// What {"again":PROGRAM} names; empty for any other message.
std::string program_to_begin_with(std::string_view text) {
  const auto document = parse_json(text, "the server's message");
  if (!document || !document->is_object() || !document->contains("again")) return {};
  const auto program = json_text(*document, "again", "the server's message");
  return program && program->starts_with('/') ? *program : std::string();
}

Result<Message> wait_for_message(int channel, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    auto message = receive(channel);
    if (!message) return message.error();
    // A new configuration came before this one was handed over: whoever was to do that may be gone, its successor is not.
    if (*message && !program_to_begin_with((**message).text).empty()) {
      if (::send(channel, ready_message.data(), ready_message.size(), MSG_NOSIGNAL) < 0) return gone();
      continue;
    }
    if (*message) return std::move(**message);
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) return Error{ErrorKind::connection, "the server that started this agent sent nothing in time"};
    pollfd readable{channel, POLLIN, 0};
    ::poll(&readable, 1, static_cast<int>(std::min<std::int64_t>(left, 60000)));
  }
}

}  // namespace

Result<Inheritance> receive_inheritance(int channel, std::chrono::milliseconds timeout) {
  Inheritance inheritance;
  inheritance.channel = Descriptor(channel);
  if (::fcntl(channel, F_SETFD, FD_CLOEXEC) != 0)
    return system_error(ErrorKind::internal, "descriptor " + std::to_string(channel) + " is not the channel to a server",
                        errno);
  if (auto safe = protect_this_process(); !safe) return safe.error();
  if (::send(channel, ready_message.data(), ready_message.size(), MSG_NOSIGNAL) < 0) {
    if (errno == EPIPE || errno == ECONNRESET) return gone();
    return system_error(ErrorKind::internal, "descriptor " + std::to_string(channel) + " is not the channel to a server",
                        errno);
  }
  auto message = wait_for_message(channel, timeout);
  if (!message) return message.error();
  const auto document = parse_json(message->text, "the server's message");
  auto instance = document ? json_text(*document, "instance", "the server's message") : Result<std::string>(document.error());
  if (!instance || instance->empty() || message->descriptors.size() < descriptor_count ||
      message->descriptors.size() > descriptor_count + 1)
    return Error{ErrorKind::internal,
                 "the server handed over something else than was agreed: module and program are of "
                 "different releases"};
  inheritance.instance = std::move(*instance);
  inheritance.board = std::move(message->descriptors[0]);
  inheritance.report = std::move(message->descriptors[1]);
  inheritance.wake = std::move(message->descriptors[2]);
  inheritance.plan = std::move(message->descriptors[3]);
  inheritance.secrets = std::move(message->descriptors[4]);
  inheritance.leader = std::move(message->descriptors[5]);
  if (message->descriptors.size() > descriptor_count) inheritance.link = std::move(message->descriptors[6]);
  return inheritance;
}

ServerWord hear_server(int channel) {
  // Whatever else the server may say is for a later release: read and dropped, so that the end behind it is seen.
  ServerWord word;
  for (unsigned count = 0; count < 64; ++count) {
    auto message = receive(channel);
    if (!message) word.gone = true;
    if (!message || !*message) break;
    const auto program = program_to_begin_with((**message).text);
    if (program.empty()) continue;
    word.again = program;
    word.image.reset();
    if (!(**message).descriptors.empty()) word.image = std::move((**message).descriptors.front());
  }
  return word;
}

void ChannelLogger::write(LogLevel level, std::string_view line) {
  const std::lock_guard guard(mutex_);
  const auto drop = [&] {
    if (level == LogLevel::debug) return;
    ++untold_;
    dropped_.fetch_add(1, std::memory_order_relaxed);
  };
  if (untold_ > 0) {
    const std::string told =
        "evercert: " + std::to_string(untold_) + " lines of the agent were dropped, the server did not read them";
    if (!send(LogLevel::warn, told)) return drop();
    untold_ = 0;
  }
  if (!send(level, line)) drop();
}

bool ChannelLogger::send(LogLevel level, std::string_view line) const {
  const std::string message =
      dump_json(Json{{"log", to_string(level)}, {"line", std::string(line.substr(0, longest_log_line))}});
  return ::send(channel_, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

}  // namespace evercert
