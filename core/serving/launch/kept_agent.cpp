#include "evercert/kept_agent.h"

#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace evercert {

namespace {

constexpr int tend_interval = 5000;

bool become(const Supervisor::Program& program) {
  if (!program.become) return true;
  return ::setgroups(1, &program.become_group) == 0 &&
         ::setresgid(program.become_group, program.become_group, program.become_group) == 0 &&
         ::setresuid(*program.become, *program.become, *program.become) == 0;
}

}  // namespace

KeptAgent::KeptAgent(Server& server, std::shared_ptr<Instance> instance, Logger& log)
    : server_(server), instance_(std::move(instance)), log_(log) {}

KeptAgent::~KeptAgent() {
  end();
}

void KeptAgent::follow(const Supervisor::Program& program, Cycle cycle) {
  // A process cannot change to another user: that one leaves, and hands over to the next. Without a leader file it would wait
  // for what nobody can give it.
  const bool other_user = program.become != program_.become || program.become_group != program_.become_group;
  if (agent_ > 0 && (other_user || !cycle.leader.valid())) end();
  program_ = program;
  cycle_.emplace(std::move(cycle));
  if (agent_ > 0) {
    if (supervisor_->begin_again(program_)) return start_relay();
    // It has not read for a long time, or is gone already: its end comes to ended(), which starts the next.
    ::kill(agent_, SIGKILL);
    return;
  }
  supervisor_ = std::make_unique<Supervisor>(program_, *instance_, *cycle_, log_);
  start();
}

void KeptAgent::go_on() {
  if (agent_ > 0 && supervisor_->begin_again(program_)) start_relay();
}

void KeptAgent::start() {
  if (!supervisor_->start(supervisor_->restart_delay())) return;
  watch(Child::agent, supervisor_->pid());
  start_relay();
}

void KeptAgent::tend() {
  if (supervisor_ && agent_ < 0 && !server_.is_stopping()) start();
}

void KeptAgent::end() {
  end_relay();
  unwatch(Child::agent);
  supervisor_.reset();
}

void KeptAgent::forget() {
  supervisor_.reset();
  cycle_.reset();
  agent_ = relay_ = -1;
}

void KeptAgent::ended(Child child, const std::string& how) {
  unwatch(child);
  if (server_.is_stopping()) return child == Child::agent ? end() : void();
  if (!supervisor_) return;
  if (child == Child::agent) {
    supervisor_->ended(how);
    return start();
  }
  // Where the agent has gone as well its own report follows. A living one is asked again, since nobody knows how far the relay
  // had come.
  if (supervisor_->begin_again(program_)) start_relay();
}

// --- the relay ---

void KeptAgent::start_relay() {
  end_relay();
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) relay(parent);
  if (pid < 0) return log_.write(LogLevel::error, "cannot fork the process that relays what the agent says");
  watch(Child::relay, pid);
}

void KeptAgent::end_relay() {
  const pid_t pid = relay_;
  unwatch(Child::relay);
  if (pid <= 0) return;
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void KeptAgent::relay(pid_t parent) noexcept {
  // As the agent: not with the process group that the server signals.
  ::setsid();
  for (const int number : {SIGHUP, SIGUSR1, SIGWINCH, SIGPIPE}) static_cast<void>(::signal(number, SIG_IGN));
  for (const int number : {SIGTERM, SIGINT, SIGCHLD}) static_cast<void>(::signal(number, SIG_DFL));
  const auto guarded = [](auto on_failure, auto action) { return at_boundary(on_failure, action, [](const std::string&) {}); };
  const bool safe = guarded(false, [&] {
    server_.prepare_relay();
    return become(program_) && make_undumpable();
  });
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_NAME, "evercert-relay");
  if (!safe || ::getppid() != parent) ::_exit(1);
  for (;;) {
    pollfd channel{supervisor_->descriptor(), POLLIN, 0};
    ::poll(&channel, 1, tend_interval);
    const auto state = guarded(Supervisor::State::gone, [&] {
      return supervisor_->on_readable() == Supervisor::State::gone ? Supervisor::State::gone : supervisor_->tend();
    });
    if (state == Supervisor::State::gone) ::_exit(0);
  }
}

void KeptAgent::watch(Child child, pid_t pid) {
  unwatch(child);
  (child == Child::agent ? agent_ : relay_) = pid;
  server_.watch(child, pid);
}

void KeptAgent::unwatch(Child child) {
  pid_t& known = child == Child::agent ? agent_ : relay_;
  if (known > 0) server_.unwatch(child);
  known = -1;
}

}  // namespace evercert
