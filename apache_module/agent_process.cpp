#include "agent_process.h"

#include <ap_listen.h>
#include <ap_mpm.h>
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>

namespace evercert {

namespace {

constexpr int tend_interval = 5000;

bool is_stopping() {
  int state = AP_MPMQ_STOPPING;
  return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS && state == AP_MPMQ_STOPPING;
}

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status)) return "by signal " + std::to_string(WTERMSIG(status));
  return "with exit code " + std::to_string(WEXITSTATUS(status));
}

bool become(const Supervisor::Program& program) {
  if (!program.become) return true;
  return ::setgroups(1, &program.become_group) == 0 &&
         ::setresgid(program.become_group, program.become_group, program.become_group) == 0 &&
         ::setresuid(*program.become, *program.become, *program.become) == 0;
}

}  // namespace

void AgentProcess::follow(const Supervisor::Program& program, Cycle cycle, apr_pool_t* process_pool) {
  process_pool_ = process_pool;
  const bool other_user = program.become != program_.become || program.become_group != program_.become_group;
  if (supervisor_ && other_user) end();
  program_ = program;
  cycle_.emplace(std::move(cycle));
  if (supervisor_ && agent_.pool != nullptr) {
    if (const auto told = supervisor_->begin_again(program_.path); told) return start_relay();
    // It has not read for a long time, or is gone already: its end comes to agent_reported(), which starts the next.
    ::kill(agent_.process.pid, SIGKILL);
    return;
  }
  // What was never started, or ended for want of memory, begins with this configuration's program.
  supervisor_ = std::make_unique<Supervisor>(program_, *instance_, *cycle_, log_);
  start();
}

void AgentProcess::go_on() {
  if (supervisor_ && agent_.pool != nullptr && supervisor_->begin_again(program_.path)) start_relay();
}

void AgentProcess::start() {
  if (const auto started = supervisor_->start(supervisor_->restart_delay()); !started)
    return log_.write(LogLevel::error, started.error().message + "; it is tried again within ten seconds");
  watch(agent_, supervisor_->pid(), [](int reason, void* agent, int status) {
    guarded(0, [&] {
      static_cast<Watched*>(agent)->owner.agent_reported(reason, status);
      return 0;
    });
  });
  start_relay();
}

void AgentProcess::tend() {
  if (supervisor_ && agent_.pool == nullptr && !is_stopping()) start();
}

void AgentProcess::end() {
  end_relay();
  unwatch(agent_);
  supervisor_.reset();
}

void AgentProcess::forget() {
  supervisor_.reset();
  cycle_.reset();
}

void AgentProcess::agent_reported(int reason, int status) {
  if (reason == APR_OC_REASON_RESTART) return end();
  if (reason != APR_OC_REASON_DEATH && reason != APR_OC_REASON_LOST) return;
  unwatch(agent_);
  if (is_stopping()) return end();
  supervisor_->ended(reason == APR_OC_REASON_DEATH ? how_it_ended(status) : "in a way that nobody saw");
  start();
}

// --- the relay ---

void AgentProcess::start_relay() {
  end_relay();
  const pid_t server = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) relay(server);
  if (pid < 0) return log_.write(LogLevel::error, "cannot fork the process that relays what the agent says");
  watch(relay_, pid, [](int reason, void* relay, int) {
    guarded(0, [&] {
      static_cast<Watched*>(relay)->owner.relay_reported(reason);
      return 0;
    });
  });
}

void AgentProcess::end_relay() {
  if (relay_.pool == nullptr) return;
  const pid_t pid = relay_.process.pid;
  unwatch(relay_);
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void AgentProcess::relay_reported(int reason) {
  if (reason != APR_OC_REASON_DEATH && reason != APR_OC_REASON_LOST && reason != APR_OC_REASON_RESTART) return;
  if (reason == APR_OC_REASON_RESTART) return end_relay();
  unwatch(relay_);
  // Where the agent has gone as well its own report follows. A living one is asked again, since nobody knows how far the relay
  // had come.
  if (!is_stopping() && supervisor_ && supervisor_->begin_again(program_.path)) start_relay();
}

void AgentProcess::relay(pid_t server) noexcept {
  for (const int number : {SIGHUP, SIGUSR1, SIGWINCH, SIGPIPE}) ::signal(number, SIG_IGN);
  for (const int number : {SIGTERM, SIGINT, SIGCHLD}) ::signal(number, SIG_DFL);
  ::setsid();  // as the agent: not with the process group that Apache signals
  ap_close_listeners();
  const bool safe = guarded(false, [&] { return become(program_) && make_undumpable(); });
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_NAME, "evercert-relay");
  if (!safe || ::getppid() != server) ::_exit(1);
  for (;;) {
    pollfd channel{supervisor_->descriptor(), POLLIN, 0};
    ::poll(&channel, 1, tend_interval);
    const auto state = guarded(Supervisor::State::gone, [&] {
      return supervisor_->on_readable() == Supervisor::State::gone ? Supervisor::State::gone : supervisor_->tend();
    });
    if (state == Supervisor::State::gone) ::_exit(0);
  }
}

// --- APR's list of other children ---

void AgentProcess::watch(Watched& child, pid_t pid, Maintenance maintenance) {
  unwatch(child);
  child.process.pid = pid;
  apr_pool_create(&child.pool, process_pool_);
  apr_proc_other_child_register(&child.process, maintenance, &child, nullptr, child.pool);
}

void AgentProcess::unwatch(Watched& child) {
  if (child.pool == nullptr) return;
  apr_proc_other_child_unregister(&child);
  apr_pool_destroy(child.pool);
  child.pool = nullptr;
}

}  // namespace evercert
