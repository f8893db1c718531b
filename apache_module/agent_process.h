// The agent as Apache's parent process sees it: a child that outlives graceful restarts. The parent may wait for nothing, so
// what the agent says is read by a relay, a forked process of each configuration that speaks into that configuration's log and
// hands over what a ready agent is to be given.
// Rule: nothing here belongs to a configuration's pools; a maintenance callback may come between two configurations.
#pragma once

#include <apr_thread_proc.h>

#include <memory>
#include <optional>

#include "apache_host.h"
#include "evercert/launch.h"

namespace evercert {

class AgentProcess {
 public:
  explicit AgentProcess(std::shared_ptr<Instance> instance) : instance_(std::move(instance)) {}
  AgentProcess(const AgentProcess&) = delete;
  AgentProcess& operator=(const AgentProcess&) = delete;

  [[nodiscard]] const std::shared_ptr<Instance>& instance() const { return instance_; }
  // A configuration begins: the agent is started, or told to begin anew with it.
  void follow(const Supervisor::Program& program, Cycle cycle, apr_pool_t* process_pool);
  // A configuration begins that could not be made ready: the agent goes on with the one before.
  void go_on();
  // A configuration ends.
  void end_relay();
  // The server ends, or has no use for an agent any more: it leaves by itself once its channel is closed.
  void end();
  // In a process that serves: it must keep neither the channel open nor secrets.
  void forget();
  // Now and then: a start that failed for want of memory or processes is tried again.
  void tend();

 private:
  // A child that APR watches for us; its address is the tag that APR knows it by.
  struct Watched {
    explicit Watched(AgentProcess& watching) : owner(watching) {}
    AgentProcess& owner;
    apr_proc_t process{};
    apr_pool_t* pool = nullptr;  // of the registration; null: not watched
  };
  using Maintenance = void (*)(int, void*, int);
  void watch(Watched& child, pid_t pid, Maintenance maintenance);
  static void unwatch(Watched& child);
  void start();
  void start_relay();
  [[noreturn]] void relay(pid_t server) noexcept;
  void agent_reported(int reason, int status);
  void relay_reported(int reason);

  std::shared_ptr<Instance> instance_;
  ApacheLogger log_;
  apr_pool_t* process_pool_ = nullptr;
  Supervisor::Program program_;
  std::optional<Cycle> cycle_;
  std::unique_ptr<Supervisor> supervisor_;  // before what it refers to
  Watched agent_{*this};
  Watched relay_{*this};
};

}  // namespace evercert
