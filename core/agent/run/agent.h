// The agent: stands for election, leads or follows, keeps the board's heartbeat and the status pages, and ends with the server
// that started it. One per process; run() returns when it is over.
#pragma once

#include <memory>
#include <optional>

#include "agent/lead/election.h"
#include "agent/lead/follower.h"
#include "agent/observe/audit_trail.h"
#include "agent/observe/event_log.h"
#include "agent/observe/page_pace.h"
#include "agent/run/service_manager.h"
#include "agent/verbs/verbs.h"
#include "evercert/descriptor.h"

namespace evercert {

class Agent {
 public:
  struct Descriptors {
    int channel = -1;  // to the server; its end of file is ours
    int wake = -1;     // rings when a worker saw something
    int signals = -1;  // signalfd: end
    const ServiceManager* manager = nullptr;
  };
  Agent(AgentContext& context, Descriptors descriptors) : context_(context), descriptors_(descriptors) {}

  // Errors: storage, when the state directory cannot be used at all. True: every step had ended.
  Result<bool> run();
  // From any thread.
  void end();
  // After run(): the program that this process is to execute next, since the server's configuration changed; or empty.
  [[nodiscard]] const std::string& successor() const { return successor_; }
  // Executed in its place where there is one.
  [[nodiscard]] const Descriptor& successor_image() const { return successor_image_; }

  // What becomes of a wish to renew that came from the server itself, as a sentence. Never forced. Main thread only.
  std::string renew(const std::string& certificate);

  enum class Role { candidate, leader, follower, retired };
  [[nodiscard]] Role role() const { return role_; }

 private:
  void listen();
  void hear();
  void campaign();
  void campaign_later();
  void watch_leader();
  void end_silent_leader(const Election::Holder& holder);
  void lead();
  void retire_when_idle(ControlServer::Client successor, std::chrono::steady_clock::time_point since);
  void finish(std::chrono::steady_clock::time_point since);
  void tick();
  void on_event(const Event& event);
  void status_wanted();
  void render();
  void write_pages();

  AgentContext& context_;
  Descriptors descriptors_;
  std::optional<Election> election_;
  std::optional<AuditTrail> trail_;
  std::optional<EventLog> event_log_;
  std::unique_ptr<Leader> leader_;
  std::unique_ptr<Verbs> verbs_;
  std::unique_ptr<Follower> follower_;
  std::atomic<Role> role_{Role::candidate};
  unsigned campaigns_ = 0;
  std::chrono::steady_clock::time_point answered_;  // when a leader, which may be us, was last heard of
  std::chrono::steady_clock::time_point told_silent_;
  std::chrono::steady_clock::time_point beaten_;
  int parent_ = -1;
  bool ending_ = false;
  std::string successor_;
  Descriptor successor_image_;
  bool clean_ = true;
  bool status_due_ = false;
  std::chrono::steady_clock::time_point leads_since_{};
  PagePace pages_{processor_time_of_this_thread};
  std::string told_late_;
};

}  // namespace evercert
