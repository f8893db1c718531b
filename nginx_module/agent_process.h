// The agent as nginx's event loop sees it: one descriptor to watch and one timer. Owned by the process that starts agents:
// nginx's cache manager, or the only process under `master_process off`. Never waits for anything.
#pragma once

#include "evercert/launch.h"
#include "nginx_host.h"

namespace evercert {

class AgentProcess {
 public:
  AgentProcess(Supervisor::Program program, const Instance& instance, Cycle& cycle, Logger& log);
  AgentProcess(const AgentProcess&) = delete;
  AgentProcess& operator=(const AgentProcess&) = delete;
  ~AgentProcess();

  void start();

 private:
  void on_readable();
  void on_timer();
  void follow(Supervisor::State state);
  void watch();
  void unwatch();

  Supervisor supervisor_;
  Logger& log_;
  ngx_connection_t* watched_ = nullptr;
  ngx_connection_t identity_{};  // nginx reads a descriptor from what a timer's data points to
  ngx_event_t timer_{};
};

}  // namespace evercert
