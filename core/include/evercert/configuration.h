// One configuration of a server: what its files say about evercert, and what its processes serve from. A front end fills it
// while the server reads, check() proves the whole, begin() makes what agent and workers share, open() turns it into a catalog
// in each process that serves. Knows no server: the front end brings names, listeners and users.
// Rule: nothing outside this process is touched before begin(), and begin() belongs to a real start only.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "evercert/board.h"
#include "evercert/catalog.h"
#include "evercert/launch.h"
#include "evercert/lines.h"

namespace evercert {

// What a server block or virtual host says about evercert.
struct HostWish {
  enum class Mode { unset, off, on, each };
  Mode mode = Mode::unset;
  bool inherited = false;  // the mode comes from the level above
  Place place;             // of the directive that set the mode
  Section options;         // certificate options for all certificates of the host
  std::vector<Section> certificates;

  [[nodiscard]] bool active() const;
  void inherit(const HostWish& parent);
};

// What a front end knows about it.
struct HostFacts {
  Place place;
  std::vector<std::string> names;                   // as the server has them, nginx's regular expressions with their "~"
  std::vector<std::vector<std::string>> listeners;  // TLS ones, as words of proof_address
  std::vector<std::string> plain_ports;             // of the whole server
  bool quic_only = false;                           // served where the proof, which connects by TCP, cannot ask
  // What makes a certificate of ours pointless here, as the operator's lines say it ("its own ssl_certificate"); or empty.
  std::string served_otherwise = {};
};

// A server block or virtual host that serves certificates of ours. Lives as long as its configuration.
struct Host {
  std::vector<std::size_t> sections;  // of Settings::certificates
  NameIndex names;
  bool has_own = false;  // a certificate of the operator's own is loaded
};

// The program that an installed module starts; a module in a build tree uses the one built beside it. `module_symbol`: any
// address in the module; `beside`: the program's path from the module's folder in a build tree.
std::string program_of_module(const void* module_symbol, const char* beside, const char* installed);

class Configuration {
 public:
  explicit Configuration(Logger& log) : log_(log) {}

  Settings& settings() { return settings_; }
  // `host` outlives this. A wish of the level above leaves out hosts that cannot have a certificate, with a notice. Errors:
  // configuration, without a place (it is that of `facts`).
  Result<Done> add_host(Host& host, const HostWish& wish, const HostFacts& facts);
  [[nodiscard]] bool has_hosts() const { return !hosts_.empty(); }
  [[nodiscard]] bool unused() const;  // nothing about evercert is written anywhere

  // After the last line of the last file. `server` as "nginx/1.22.1"; `program` where the operator names none.
  const std::vector<Complaint>& check(const std::string& server, const std::string& program, const Place& place);
  // Null after a complaint that is an error, and from begin() on: serving processes have no use for the secrets in it.
  [[nodiscard]] const Plan* plan() const { return checked_.plan ? &*checked_.plan : nullptr; }
  [[nodiscard]] const std::string& state_path() const { return state_path_; }
  // The agent's program, and its user where the server may choose one: `user` unless the operator names another. Errors:
  // configuration.
  [[nodiscard]] Result<Supervisor::Program> agent_program(std::uint32_t user, std::uint32_t group) const;
  // What keeps the agent's user from exporting, as a warning; nullopt: nothing does.
  [[nodiscard]] std::optional<std::string> export_warning(std::uint32_t user, std::uint32_t group) const {
    return checked_.plan ? export_trouble(checked_.plan->exports.path, user, group) : std::nullopt;
  }
  // What would keep a real start from succeeding, for a test of the configuration: the agent's program, the seal key, the
  // leader file. Touches nothing. Errors: configuration, storage.
  [[nodiscard]] Result<Done> examine() const;
  // Makes the state directories, for the agent's user. Errors: storage.
  Result<Done> prepare(std::uint32_t owner, std::uint32_t group) const;
  // A real start: seal keys, board, what is handed to the agent. Forgets settings, plan and the files that were read.
  Result<Done> begin(std::shared_ptr<Instance> instance);
  // The same with a key that an earlier configuration opened bundles with, for a restart that may not fail: nothing is handed
  // over to an agent.
  Result<Done> serve_on(std::shared_ptr<Instance> instance, const SealKey& serving);
  [[nodiscard]] const std::optional<SealKey>& serving_key() const { return serving_key_; }
  [[nodiscard]] const Instance* instance() const { return instance_.get(); }
  [[nodiscard]] std::optional<Cycle>& carried() { return carried_; }

  // --- in processes that serve ---
  void close_secrets();  // what only an agent and its starter may hold
  void forget_serving_key() { serving_key_.reset(); }
  Result<Done> open();
  void close();  // gives back catalog and instance
  [[nodiscard]] Catalog* catalog() { return catalog_.get(); }
  [[nodiscard]] const StateReader* state() const { return state_ ? &*state_ : nullptr; }
  [[nodiscard]] int wake() const { return instance_ ? instance_->wake.get() : -1; }
  // Something of ours can be served for this name: a generation, or a stand-in where the plan wants one.
  [[nodiscard]] bool servable(const Host& host, std::string_view server_name) const;
  // What would be served; null when nothing of ours. Thread-safe. `name`, if asked for: what it is called, as long as this
  // lives.
  std::shared_ptr<const ServedCertificate> certificate_for(const Host& host, std::string_view server_name,
                                                           const std::string** name = nullptr);

 private:
  // A certificate of the plan, as a serving process needs it.
  struct Offered {
    std::string name;
    std::vector<Identifier> identifiers;
    bool placeholder = false;
    NameIndex others;  // lines that have some of its names meanwhile
  };
  struct StandIn {
    std::shared_ptr<const ServedCertificate> certificate;
    std::chrono::steady_clock::time_point made;
  };
  bool leave_out(const HostWish& wish, HostFacts& facts);
  Result<Done> share(const std::vector<StoredLine>& stored);
  std::vector<StoredLine> read_lines(const SealKey& serving);
  Result<Done> hide_program();
  void forget_plan();
  [[nodiscard]] bool wants_placeholder(CertificateSlot slot) const;
  std::shared_ptr<const ServedCertificate> placeholder(CertificateSlot slot);

  Logger& log_;
  Settings settings_;
  DiskFiles files_;
  std::vector<Complaint> remarks_;  // on what hosts are left out or not proved
  Checked checked_;
  std::vector<Host*> hosts_;
  std::string state_path_;
  std::string program_;
  std::shared_ptr<const Descriptor> image_;  // as in Supervisor::Program
  bool hidden_ = false;
  std::string agent_user_;
  unsigned cache_size_ = 0;
  std::unordered_map<CertificateSlot, Offered> offered_;
  std::unordered_map<CertificateSlot, std::string> other_lines_;
  std::unordered_map<CertificateSlot, std::uint64_t> reached_;  // the highest generation that was ever published
  std::optional<SealKey> serving_key_;
  std::shared_ptr<Instance> instance_;
  std::optional<Cycle> carried_;
  std::optional<StateReader> state_;
  std::unique_ptr<Catalog> catalog_;
  std::mutex stand_ins_mutex_;
  std::unordered_map<CertificateSlot, StandIn> stand_ins_;
};

}  // namespace evercert
