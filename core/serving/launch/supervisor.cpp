#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

#include "evercert/launch.h"
#include "serving/base/files.h"
#include "serving/base/json.h"
#include "serving/launch/inspect.h"
#include "serving/launch/restart_pause.h"
#include "serving/launch/spawn.h"

namespace evercert {

namespace {

constexpr std::size_t largest_message = 16384;
constexpr std::size_t longest_line = 2000;
constexpr unsigned messages_at_once = 4096;
constexpr std::chrono::seconds longest_step{10};

using SteadyTime = std::chrono::steady_clock::time_point;

std::optional<LogLevel> level_of(std::string_view word) {
  if (word == "error") return LogLevel::error;
  if (word == "warn") return LogLevel::warn;
  if (word == "notice") return LogLevel::notice;
  if (word == "info") return LogLevel::info;
  if (word == "debug") return LogLevel::debug;
  return std::nullopt;
}

// One line stays one line in the server's log, and a terminal that shows it keeps its colours.
std::string printable(std::string_view line) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string safe;
  for (const char character : line) {
    if (safe.size() >= longest_line) {
      // Not in the middle of a character.
      while (!safe.empty() && (static_cast<unsigned char>(safe.back()) & 0xc0) == 0x80) safe.pop_back();
      if (!safe.empty() && static_cast<unsigned char>(safe.back()) >= 0xc0) safe.pop_back();
      return safe + "...";
    }
    const auto code = static_cast<unsigned char>(character);
    if (code >= 0x20 && code != 0x7f)
      safe.push_back(character);
    else
      safe.append("\\x").append({digits[code >> 4], digits[code & 15]});
  }
  return safe;
}

}  // namespace

class Supervisor::Content {
 public:
  Content(Program program, const Instance& instance, const Cycle& cycle, Logger& log)
      : program_(std::move(program)), instance_(instance), cycle_(cycle), log_(log) {}
  ~Content() { reap(); }

  Result<Done> start(std::chrono::milliseconds pause) {
    if (channel_.valid()) return Error{ErrorKind::internal, "the agent is already running"};
    reap();
    auto spawned = spawn_agent(program_, pause);
    started_ = std::chrono::steady_clock::now() + pause;
    if (!spawned) {
      pause_.lost({});
      return spawned.error();
    }
    pid_ = spawned->pid;
    channel_ = std::move(spawned->channel);
    process_ = std::move(spawned->process);
    delivered_ = false;
    failed_.clear();
    return Done{};
  }

  Result<Done> begin_again() {
    const std::string text = dump_json(Json{{"again", program_.path}});
    if (::send(channel_.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
      return system_error(ErrorKind::connection, "the agent does not listen", errno);
    // It may finish a step first.
    started_ = std::chrono::steady_clock::now() + longest_step;
    delivered_ = false;
    return Done{};
  }

  void ended(const std::string& how) {
    if (!channel_.valid()) return;
    log_.write(LogLevel::notice, "evercert: the agent's process ended " + how + process_field());
    leave();
  }

  State on_readable() {
    if (!channel_.valid()) return State::gone;
    std::array<char, largest_message> message;
    for (unsigned count = 0; count < messages_at_once; ++count) {
      const ssize_t size = ::recv(channel_.get(), message.data(), message.size(), MSG_DONTWAIT | MSG_TRUNC);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return State::running;
      if (size <= 0) return lost();
      if (static_cast<std::size_t>(size) > message.size()) continue;
      if (!receive({message.data(), static_cast<std::size_t>(size)})) return dismiss();
    }
    log_.write(LogLevel::error, "evercert: the agent floods its channel; it is ended and started again" + process_field());
    return dismiss();
  }

  State tend() {
    if (!channel_.valid()) return State::gone;
    if (delivered_ || std::chrono::steady_clock::now() - started_ < program_.ready_within) return State::running;
    // It may have said so without anybody having looked.
    if (on_readable() == State::gone) return State::gone;
    if (delivered_) return State::running;
    log_.write(LogLevel::error, "evercert: the agent did not become ready within " +
                                    std::to_string(program_.ready_within.count()) + " ms; it is ended and started again" +
                                    process_field());
    return dismiss();
  }

  int descriptor() const { return channel_.get(); }
  pid_t pid() const { return pid_; }
  std::chrono::milliseconds restart_delay() const { return pause_.value(); }

 private:
  // False: this agent must go.
  bool receive(std::string_view text) {
    const auto message = parse_json(text, "a message of the agent");
    if (!message || !message->is_object()) return true;
    if (message->contains("ready")) return delivered_ || deliver();
    if (message->contains("log")) {
      const auto level = json_text(*message, "log", "a message");
      const auto line = json_text(*message, "line", "a message");
      if (level && line && level_of(*level)) log_.write(*level_of(*level), printable(*line));
    } else if (message->contains("failed")) {
      const auto step = json_text(*message, "failed", "a message");
      const auto code = json_number(*message, "errno", "a message");
      if (!delivered_ && step && code)
        failed_ = "cannot " + printable(*step) + " " + program_.path + ": " +
                  std::generic_category().message(static_cast<int>(*code));
    }
    return true;
  }

  bool deliver() {
    if (const auto safe = check_protected(pid_); !safe) {
      log_.write(LogLevel::error, "evercert: the agent gets no secrets: " + safe.error().message + process_field());
      return false;
    }
    if (const auto sent = send_descriptors(); !sent) {
      log_.write(LogLevel::error, "evercert: " + sent.error().message + process_field());
      return false;
    }
    delivered_ = true;
    return true;
  }

  Result<Done> send_descriptors() const {
    const std::array<int, 5> descriptors{instance_.board.get(), instance_.report.get(), instance_.wake.get(), cycle_.plan.get(),
                                         cycle_.secrets.get()};
    std::string text = dump_json(Json{{"instance", instance_.id}});
    iovec part{text.data(), text.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof descriptors)> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof descriptors);
    std::memcpy(CMSG_DATA(rights), descriptors.data(), sizeof descriptors);
    ssize_t sent = -1;
    do {
      sent = ::sendmsg(channel_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) return system_error(ErrorKind::internal, "cannot hand the agent its descriptors", errno);
    return Done{};
  }

  State dismiss() {
    if (process_.valid()) ::syscall(SYS_pidfd_send_signal, process_.get(), SIGKILL, nullptr, 0U);
    failed_ = "was ended";
    return leave();
  }

  State lost() {
    const char* when = delivered_ ? "evercert: the agent has gone" : "evercert: the agent has gone before it was ready";
    if (failed_.empty()) {
      log_.write(LogLevel::warn, when + exit_words() + process_field());
    } else {
      log_.write(LogLevel::error, "evercert: the agent does not start: " + failed_ +
                                      "; see that the program is installed there and may be executed (option program)");
    }
    return leave();
  }

  State leave() {
    pause_.lost(std::chrono::steady_clock::now() - started_);
    channel_.reset();
    if (process_.valid()) unreaped_.push_back(std::move(process_));
    pid_ = -1;
    reap();
    return State::gone;
  }

  std::string process_field() const { return " pid=\"" + std::to_string(pid_) + "\""; }

  // How it ended, where that can be known at once: the server may reap its children itself.
  std::string exit_words() {
    if (!process_.valid()) return {};
    // The channel closes a moment before the process can be waited for.
    pollfd end{process_.get(), POLLIN, 0};
    ::poll(&end, 1, 20);
    siginfo_t ended{};
    if (::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(process_.get()), &ended, WEXITED | WNOHANG) != 0) return {};
    if (ended.si_pid == 0) return {};
    process_.reset();
    return (ended.si_code == CLD_EXITED ? " with exit code " : " by signal ") + std::to_string(ended.si_status);
  }

  // By pidfd, never by pid: the server may have reaped it, and the number may belong to one of its workers now.
  void reap() {
    std::erase_if(unreaped_, [](const Descriptor& process) {
      siginfo_t ended{};
      const int outcome = ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(process.get()), &ended, WEXITED | WNOHANG);
      return outcome != 0 || ended.si_pid != 0;
    });
  }

  const Program program_;
  const Instance& instance_;
  const Cycle& cycle_;
  Logger& log_;
  pid_t pid_ = -1;
  Descriptor channel_;
  Descriptor process_;
  std::vector<Descriptor> unreaped_;
  bool delivered_ = false;
  std::string failed_;
  SteadyTime started_;
  RestartPause pause_;
};

Supervisor::Supervisor(Program program, const Instance& instance, const Cycle& cycle, Logger& log)
    : content_(std::make_unique<Content>(std::move(program), instance, cycle, log)) {}

Supervisor::~Supervisor() = default;

Result<Done> Supervisor::start(std::chrono::milliseconds pause) {
  return content_->start(pause);
}

Result<Done> Supervisor::begin_again() {
  return content_->begin_again();
}

void Supervisor::ended(const std::string& how) {
  content_->ended(how);
}

int Supervisor::descriptor() const {
  return content_->descriptor();
}

pid_t Supervisor::pid() const {
  return content_->pid();
}

Supervisor::State Supervisor::on_readable() {
  return content_->on_readable();
}

Supervisor::State Supervisor::tend() {
  return content_->tend();
}

std::chrono::milliseconds Supervisor::restart_delay() const {
  return content_->restart_delay();
}

}  // namespace evercert
