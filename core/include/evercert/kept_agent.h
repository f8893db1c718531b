// The agent of a server whose parent process outlives its configurations and may wait for nothing, as Apache's. The agent is
// that parent's child and is kept over restarts: a new configuration makes it begin again in the same process. What it says
// is read by a relay, a process forked for each configuration, which speaks into that configuration's log and hands over what a
// ready agent is to be given.
// Rule: nothing here belongs to a configuration; the server may report a death between two of them.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "evercert/launch.h"

namespace evercert {

class KeptAgent {
 public:
  enum class Child { agent, relay };
  // What the server lends: its way to learn of children that end.
  class Server {
   public:
    virtual ~Server() = default;
    virtual void watch(Child child, pid_t pid) = 0;
    virtual void unwatch(Child child) = 0;
    [[nodiscard]] virtual bool is_stopping() = 0;
    // In the relay, while it still has the server's rights: gives up listeners and what else it must not hold.
    virtual void prepare_relay() = 0;
  };
  // All three outlive this.
  KeptAgent(Server& server, std::shared_ptr<Instance> instance, Logger& log);
  ~KeptAgent();
  KeptAgent(const KeptAgent&) = delete;
  KeptAgent& operator=(const KeptAgent&) = delete;

  [[nodiscard]] const std::shared_ptr<Instance>& instance() const { return instance_; }
  // A configuration begins: the agent is started, or told to begin again with it.
  void follow(const Supervisor::Program& program, Cycle cycle);
  // A configuration begins that could not be made ready: the agent goes on with the one before.
  void go_on();
  // A configuration ends.
  void end_relay();
  // The server ends, or has no use for an agent any more: it leaves by itself once its channel is closed.
  void end();
  // In a forked process that serves: it keeps neither the channel open nor secrets.
  void forget();
  // Now and then: a start that failed for want of memory or processes is tried again.
  void tend();
  // A watched child has ended; `how`: "by signal 9".
  void ended(Child child, const std::string& how);

 private:
  void start();
  void start_relay();
  void watch(Child child, pid_t pid);
  void unwatch(Child child);
  [[noreturn]] void relay(pid_t parent) noexcept;

  Server& server_;
  const std::shared_ptr<Instance> instance_;
  Logger& log_;
  Supervisor::Program program_;
  std::optional<Cycle> cycle_;
  std::unique_ptr<Supervisor> supervisor_;  // before what it refers to
  pid_t agent_ = -1;                        // -1: none is watched
  pid_t relay_ = -1;
};

}  // namespace evercert
