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
#include "evercert/catalog.h"
#include "evercert/launch.h"
#include "evercert/plan.h"

namespace evercert {

// 32 bytes, as many as a session id context may have.
using NameMark = std::array<unsigned char, 32>;
NameMark make_mark(std::string_view what, std::string_view name);

class NginxCycle;

// What a server block of http or stream says about evercert.
struct ServerBlock {
  enum class Mode { unset, off, on, each };
  Mode mode = Mode::unset;
  bool inherited = false;  // the mode comes from the level above
  Place place;             // of the directive that set the mode
  Section options;         // certificate options for all certificates of the block
  std::vector<Section> certificates;

  [[nodiscard]] bool active() const;
  void inherit(const ServerBlock& parent);
};

// What a front end knows about a server block.
struct ServerFacts {
  Place place;
  std::vector<std::string> names;                   // as nginx has them, regular expressions with their "~"
  std::vector<std::vector<std::string>> listeners;  // TLS ones, as words of proof_address
  std::vector<std::string> plain_ports;             // of the whole http block
};

// A server block that serves certificates of ours: the argument of the TLS callbacks. Lives as long as its cycle.
struct Host {
  NginxCycle* cycle = nullptr;
  std::vector<std::size_t> sections;  // of Settings::certificates
  NameIndex names;
  bool has_own = false;                        // a certificate of the operator's own is loaded
  int (*own_callback)(SSL*, void*) = nullptr;  // nginx's, which loads an operator's certificate with variables in its name
  void* own_argument = nullptr;
};

// A certificate of the plan, as a serving process needs it.
struct OfferedCertificate {
  std::string name;
  std::vector<Identifier> identifiers;
  bool placeholder = false;
};

class NginxCycle {
 public:
  explicit NginxCycle(ngx_cycle_t* cycle) : nginx_(cycle) {}
  NginxCycle(const NginxCycle&) = delete;
  NginxCycle& operator=(const NginxCycle&) = delete;
  ~NginxCycle();

  Settings& settings() { return settings_; }
  // Null after a complaint in the log.
  Host* add_host(const ServerBlock& block, const ServerFacts& facts);
  [[nodiscard]] bool has_hosts() const { return !hosts_.empty(); }
  // A mark of its own for each name that some host's certificate covers; nullopt for all others.
  [[nodiscard]] std::optional<NameMark> mark_of(const std::string& server_name) const;

  // After the last line of the last file: checks, and in a real start makes what agent and workers share.
  ngx_int_t finish();
  // In every new process. Never fails: what cannot be done is logged, and traffic goes on.
  void begin_process();
  // The first thing nginx's cache manager process does for our path.
  void begin_agent();

  // --- in processes that serve ---
  [[nodiscard]] Catalog* catalog() { return catalog_.get(); }
  [[nodiscard]] const StateReader* state() const { return state_ ? &*state_ : nullptr; }
  [[nodiscard]] int wake() const { return instance_ ? instance_->wake.get() : -1; }
  [[nodiscard]] bool wants_placeholder(CertificateSlot slot) const;
  // A self-signed stand-in, made when it is first asked for; null if that fails.
  std::shared_ptr<const ServedCertificate> placeholder(CertificateSlot slot);

 private:
  struct StandIn {
    std::shared_ptr<const ServedCertificate> certificate;
    std::chrono::steady_clock::time_point made;
  };

  bool report(const std::vector<Complaint>& complaints);
  Result<Done> prepare(const Checked& checked, const DiskFiles& files);
  Result<Done> share(const Plan& plan, const SealKey& serving,
                     const std::vector<std::vector<std::size_t>>& certificates_of_section);
  Result<Done> open_catalog();
  void start_agent();
  ngx_int_t add_path();

  ngx_cycle_t* nginx_;
  NginxLogger log_;
  Settings settings_;
  std::deque<Host> hosts_;
  std::unordered_map<std::string, NameMark> names_;
  std::string state_path_;
  std::string program_;
  unsigned cache_size_ = 0;
  std::unordered_map<CertificateSlot, OfferedCertificate> offered_;
  std::optional<SealKey> serving_key_;
  std::shared_ptr<Instance> instance_;
  std::optional<Cycle> carried_;
  std::optional<StateReader> state_;
  std::unique_ptr<Catalog> catalog_;
  std::unordered_map<CertificateSlot, StandIn> stand_ins_;
  std::unique_ptr<AgentProcess> agent_;  // before instance_ and carried_ go
};

// The cycle being configured, or the one that a process runs; null when the module is not loaded in it.
NginxCycle* cycle_of(ngx_cycle_t* cycle);

}  // namespace evercert
