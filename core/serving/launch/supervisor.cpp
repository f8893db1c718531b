#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "evercert/descriptor.h"
#include "evercert/launch.h"
#include "evercert/leader_file.h"
#include "serving/base/json.h"
#include "serving/launch/carried_format.h"
#include "serving/launch/hand_over.h"
#include "serving/launch/restart_pause.h"
#include "serving/launch/told.h"
#include "serving/platform/inspect.h"
#include "serving/platform/spawn.h"

namespace evercert {

namespace {

constexpr std::size_t largest_message = 16384;
constexpr std::string_view exit_of_no_program = "with exit code 127";
constexpr unsigned messages_at_once = 4096;
constexpr std::chrono::seconds longest_step{6};
constexpr std::chrono::seconds leader_pause{5};
constexpr std::chrono::hours told_again_after{1};

using SteadyTime = std::chrono::steady_clock::time_point;

}  // namespace

class Supervisor::Content {
 public:
  Content(Program program, const Instance& instance, Cycle& cycle, Logger& log)
      : program_(std::move(program)), instance_(instance), cycle_(cycle), log_(log) {}
  ~Content() { reap(); }

  bool start(std::chrono::milliseconds pause) {
    if (channel_.valid()) return false;
    reap();
    if (!find_leader()) return false;
    // A server that reaps whatever ends (nginx) would write a line about each child that could execute nothing. Where the child
    // does the waiting (Apache), it is the child that finds the program there again.
    if (pause == std::chrono::milliseconds::zero() && !program_.image && ::access(program_.path.c_str(), X_OK) != 0) {
      failed_ = why_not_started(failed_step_execute, errno, program_.path);
      pause_.lost({}, exit_of_no_program);
      if (pause_.worth_telling()) tell_failed();
      return false;
    }
    auto spawned = spawn_agent(program_, {"run", "--descriptor", std::to_string(channel_number)}, pause);
    started_ = std::chrono::steady_clock::now() + pause;
    if (!spawned) {
      pause_.lost({});
      if (pause_.worth_telling())
        log_.write(LogLevel::error, "evercert: " + spawned.error().message + "; it is tried again soon");
      return false;
    }
    pid_ = spawned->pid;
    channel_ = std::move(spawned->channel);
    process_ = std::move(spawned->process);
    delivered_ = false;
    failed_.clear();
    return true;
  }

  Result<Done> begin_again(const Program& program) {
    program_ = program;
    if (auto told = tell_again(channel_.get(), program_); !told) return told;
    // It may finish a step first.
    started_ = std::chrono::steady_clock::now() + longest_step;
    delivered_ = false;
    return Done{};
  }

  void ended(const std::string& how) {
    if (!channel_.valid()) return;
    // Why it could not start stands in its last word, which may not have been read yet.
    reaped_ = how;
    if (on_readable() == State::gone) return;
    reaped_.clear();
    pause_.lost(std::chrono::steady_clock::now() - started_, how);
    if (pause_.worth_telling()) log_.write(LogLevel::notice, "evercert: the agent's process ended " + how + process_field());
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
    const auto late = [this] {
      const auto now = std::chrono::steady_clock::now();
      return delivered_ ? now - heard_ >= agent_silence : now - started_ >= program_.ready_within;
    };
    if (!late()) return State::running;
    // It may have said so without anybody having looked.
    if (on_readable() == State::gone) return State::gone;
    if (!late()) return State::running;
    if (delivered_) return judge_silence();
    log_.write(LogLevel::error, "evercert: the agent did not become ready within " +
                                    std::to_string(program_.ready_within.count()) + " ms; it is ended and started again" +
                                    process_field());
    return dismiss();
  }

  int descriptor() const { return channel_.get(); }
  pid_t pid() const { return pid_; }
  std::chrono::milliseconds restart_delay() const { return leader_missed_ ? leader_pause : pause_.value(); }

 private:
  // Without it an agent has nothing to work with. Why it could not be opened was told by whoever tried at first.
  bool find_leader() {
    if (cycle_.leader.valid()) return true;
    const bool may_open = ::geteuid() == cycle_.leader_user;
    auto opened = may_open ? open_leader_file(cycle_.leader_of) : Result<Descriptor>(Error{});
    if (opened) {
      cycle_.leader = std::move(*opened);
      leader_missed_.reset();
      log_.write(LogLevel::error, "evercert: the file \"leader\" in " + cycle_.leader_of +
                                      " can be opened again: the agent is started, and renewals go on");
      return true;
    }
    const auto now = std::chrono::steady_clock::now();
    const bool first = !leader_missed_;
    if (!first && now - *leader_missed_ < told_again_after) return false;
    leader_missed_ = now;
    if (!may_open)
      log_.write(LogLevel::error, "evercert: nothing is renewed: the file \"leader\" in " + cycle_.leader_of +
                                      " could not be opened when the server started, and is closed to the process that would "
                                      "start the agent; mend what the start said of it and reload the server");
    else if (!first)
      log_.write(LogLevel::error,
                 "evercert: nothing is renewed: " + opened.error().message + "; it is tried again all the time");
    return false;
  }

  // False: this agent must go.
  bool receive(std::string_view text) {
    heard_ = std::chrono::steady_clock::now();
    waits_for_disk_ = false;
    if (text == beat_message) return true;
    const auto message = parse_json(text, "a message of the agent");
    if (!message || !message->is_object()) return true;
    if (message->contains("ready")) return delivered_ || deliver();
    if (write_told(*message, log_)) return true;
    if (message->contains("failed")) {
      const auto step = json_text(*message, "failed", "a message");
      const auto code = json_number(*message, "errno", "a message");
      if (!delivered_ && step && code) failed_ = why_not_started(*step, static_cast<int>(*code), program_.path);
    }
    return true;
  }

  bool deliver() {
    if (const auto safe = check_protected(pid_); !safe) {
      log_.write(LogLevel::error, "evercert: the agent gets no secrets: " + safe.error().message + process_field());
      return false;
    }
    if (const auto sent = hand_over(channel_.get(), instance_, cycle_); !sent) {
      log_.write(LogLevel::error, "evercert: " + sent.error().message + process_field());
      return false;
    }
    delivered_ = true;
    heard_ = std::chrono::steady_clock::now();
    return true;
  }

  // No beat for so long. What it said before is read by now.
  State judge_silence() {
    const auto silent = std::to_string(agent_silence.count()) + " s";
    if (!waits_for_a_disk(pid_)) {
      log_.write(LogLevel::error,
                 "evercert: the agent has said nothing for " + silent + "; it is ended and started again" + process_field());
      return dismiss();
    }
    // A signal would wait as it does, and then end an agent that is sound.
    if (!std::exchange(waits_for_disk_, true))
      log_.write(LogLevel::error, "evercert: the agent has said nothing for " + silent +
                                      ": it waits for a disk, and goes on when that answers; look at the file system of "
                                      "state_path" +
                                      process_field());
    return State::running;
  }

  State dismiss() {
    if (process_.valid()) ::syscall(SYS_pidfd_send_signal, process_.get(), SIGKILL, nullptr, 0U);
    failed_ = "was ended";
    pause_.lost(std::chrono::steady_clock::now() - started_);
    return leave();
  }

  State lost() {
    // As the kernel tells a parent that of a program which could not be executed.
    const std::string how = failed_.empty() ? exit_words() : std::string(exit_of_no_program);
    pause_.lost(std::chrono::steady_clock::now() - started_, how);
    // One that got to work is told each time.
    if (!delivered_ && !pause_.worth_telling()) return leave();
    const char* when = delivered_ ? "evercert: the agent has gone" : "evercert: the agent has gone before it was ready";
    if (failed_.empty()) {
      log_.write(LogLevel::warn, std::string(when) + (how.empty() ? "" : " ") + how + process_field());
    } else {
      tell_failed();
    }
    return leave();
  }

  void tell_failed() {
    log_.write(LogLevel::error, "evercert: the agent does not start: " + failed_ + "; it is tried again, told once an hour");
  }

  State leave() {
    channel_.reset();
    if (process_.valid()) unreaped_.push_back(std::move(process_));
    pid_ = -1;
    reap();
    return State::gone;
  }

  std::string process_field() const { return " pid=\"" + std::to_string(pid_) + "\""; }

  // How it ended, where that can be known at once: the server may reap its children itself.
  std::string exit_words() {
    if (!reaped_.empty()) return std::exchange(reaped_, {});
    if (!process_.valid()) return {};
    // The channel closes a moment before the process can be waited for.
    pollfd end{process_.get(), POLLIN, 0};
    ::poll(&end, 1, 20);
    siginfo_t ended{};
    if (::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(process_.get()), &ended, WEXITED | WNOHANG) != 0) return {};
    if (ended.si_pid == 0) return {};
    process_.reset();
    return (ended.si_code == CLD_EXITED ? "with exit code " : "by signal ") + std::to_string(ended.si_status);
  }

  // By pidfd, never by pid: the server may have reaped it, and the number may belong to one of its workers now.
  void reap() {
    std::erase_if(unreaped_, [](const Descriptor& process) {
      siginfo_t ended{};
      const int outcome = ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(process.get()), &ended, WEXITED | WNOHANG);
      return outcome != 0 || ended.si_pid != 0;
    });
  }

  Program program_;
  const Instance& instance_;
  Cycle& cycle_;
  Logger& log_;
  pid_t pid_ = -1;
  Descriptor channel_;
  Descriptor process_;
  std::vector<Descriptor> unreaped_;
  bool delivered_ = false;
  std::string failed_;
  std::string reaped_;  // how it ended, where the server saw that
  SteadyTime started_;
  SteadyTime heard_;
  bool waits_for_disk_ = false;
  RestartPause pause_;
  std::optional<SteadyTime> leader_missed_;  // when that was told last
};

Supervisor::Supervisor(Program program, const Instance& instance, Cycle& cycle, Logger& log)
    : content_(std::make_unique<Content>(std::move(program), instance, cycle, log)) {}

Supervisor::~Supervisor() = default;

bool Supervisor::start(std::chrono::milliseconds pause) {
  return content_->start(pause);
}

Result<Done> Supervisor::begin_again(const Program& program) {
  return content_->begin_again(program);
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
