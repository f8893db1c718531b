// One configuration cycle of nginx: what its files say, and what its processes serve from. Front ends (http, stream) fill it
// while nginx reads; finish() proves the whole once everything has been read; begin_serving() turns it into a catalog in
// each worker. Nothing outside is touched before finish(), and by it only in a real start.
#pragma once

#include "nginx_host.h"

extern "C" {
#include <ngx_event_openssl.h>
}

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent_process.h"
#include "evercert/configuration.h"

namespace evercert {

// A line in nginx's log that may quote what others wrote, options as nginx spells them. The stream module has no part in this.
void log_words(ngx_uint_t level, ngx_log_t* log, std::string_view line);

// 32 bytes, as many as a session id context may have.
using NameMark = std::array<unsigned char, 32>;
NameMark make_mark(std::string_view what, std::string_view name);

class NginxCycle;

// A server block that serves certificates of ours: the argument of the TLS callbacks. Lives as long as its cycle.
struct NginxHost : Host {
  NginxCycle* cycle = nullptr;
  int (*own_callback)(SSL*, void*) = nullptr;  // nginx's, which loads an operator's certificate with variables in its name
  void* own_argument = nullptr;
};

class NginxCycle {
 public:
  explicit NginxCycle(ngx_cycle_t* cycle) : nginx_(cycle) {}
  NginxCycle(const NginxCycle&) = delete;
  NginxCycle& operator=(const NginxCycle&) = delete;
  ~NginxCycle();

  Settings& settings() { return configuration_.settings(); }
  // Null after a complaint in the log.
  NginxHost* add_host(const HostWish& wish, const HostFacts& facts);
  [[nodiscard]] bool has_hosts() const { return configuration_.has_hosts(); }
  // A mark of its own for each name that some host's certificate covers; nullopt for all others.
  [[nodiscard]] std::optional<NameMark> mark_of(const std::string& server_name) const;

  // After the last line of the last file: checks, and in a real start makes what agent and workers share.
  ngx_int_t finish();
  // In every new process. Never fails: what cannot be done is logged, and traffic goes on.
  void begin_process();
  // The first thing nginx's cache manager process does for our path.
  void begin_agent();

  [[nodiscard]] Configuration& configuration() { return configuration_; }

 private:
  bool report(const std::vector<Complaint>& complaints);
  Result<Done> prepare();
  void start_agent();
  ngx_int_t add_path();

  ngx_cycle_t* nginx_;
  NginxLogger log_;
  Configuration configuration_{log_};
  std::deque<NginxHost> hosts_;
  std::unordered_map<std::string, NameMark> names_;
  std::unique_ptr<AgentProcess> agent_;  // before the configuration goes
};

// The cycle being configured, or the one that a process runs; null when the module is not loaded in it.
NginxCycle* cycle_of(ngx_cycle_t* cycle);

}  // namespace evercert
