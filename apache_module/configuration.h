// One configuration of Apache: what its files say, and what its processes serve from. Directives fill it while Apache reads,
// check() proves the whole for `-t` and every start alike, begin() makes what agent and children share, begin_process() opens
// the catalog in each child. Lives in the pool of the configuration; what outlives it is the agent's process alone.
#pragma once

#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent_process.h"
#include "apache_host.h"
#include "evercert/configuration.h"

namespace evercert {

class ApacheCycle;

// A virtual host that serves certificates of ours: the argument of the TLS callback.
struct ApacheHost : Host {
  ApacheCycle* cycle = nullptr;
  const server_rec* server = nullptr;
  std::vector<std::string> server_names;
};

// With each of Apache's servers.
struct VirtualHost {
  HostWish wish;
  ApacheHost* host = nullptr;
};

class ApacheCycle {
 public:
  ApacheCycle() = default;
  ApacheCycle(const ApacheCycle&) = delete;
  ApacheCycle& operator=(const ApacheCycle&) = delete;
  ~ApacheCycle();

  [[nodiscard]] Configuration& configuration() { return configuration_; }
  [[nodiscard]] ApacheLogger& log() { return log_; }

  // After the last line of the last file; false after complaints in the log.
  bool check(server_rec* main, apr_pool_t* pool);
  // Before mod_ssl reads keys, in a start that will serve; false when the server must not start.
  bool begin(server_rec* main);
  // In every new child. Never fails: what cannot be done is logged, and traffic goes on.
  void begin_process();

  // The path of a file with a stand-in for a host that mod_ssl would refuse without any certificate; empty after a complaint.
  // Valid until the next call: mod_ssl reads it at once.
  std::string stand_in_for(const ApacheHost& host);
  void close_stand_in() { stand_in_.close(); }

 private:
  std::vector<Complaint> add_hosts(server_rec* main, apr_pool_t* pool);
  bool would_start(const server_rec* main);
  bool report(const std::vector<Complaint>& complaints, const server_rec* main);
  Result<Done> prepare();

  ApacheLogger log_;
  Configuration configuration_{log_};
  std::deque<ApacheHost> hosts_;
  PlaceholderFile stand_in_;
};

// The configuration that is being read, or that this process runs. Never null after pre_config.
ApacheCycle& cycle();
// Before each reading. `pool`: of the configuration.
void new_cycle(apr_pool_t* pool);
VirtualHost& virtual_host_of(const server_rec* server);
// Of the server itself, or of nobody: a virtual host without our directives shares the conf of the main server.
ApacheHost* host_of(const server_rec* server);

// What mod_ssl and mod_md were told of each server (http_servers.cpp).
struct FoundServer {
  server_rec* server = nullptr;
  HostFacts facts;
  bool tls = false;                 // SSLEngine on or optional, here or above
  bool tls_written = false;         // SSLEngine stands somewhere
  bool expects_tls = false;         // listens where TLS is spoken
  bool has_certificate = false;     // SSLCertificateFile, here or above
  bool writes_certificate = false;  // in this very virtual host
  std::string managed_by_md;        // the MDomain that has one of its names, with its place; or empty
};
std::vector<FoundServer> find_servers(server_rec* main, unsigned tls_port);

}  // namespace evercert
