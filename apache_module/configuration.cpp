#include "configuration.h"

#include <http_main.h>
#include <unixd.h>

namespace evercert {
namespace {

ApacheCycle* current_cycle = nullptr;
// Outlives configurations, as the agent does.
std::optional<SealKey> last_serving_key;

bool is_first_reading() {
  return ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG;
}

bool only_tests() {
  return ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST;
}

// A server that says nothing itself has the main one's part of the configuration, by the same pointer.
HostWish wish_of(const server_rec* server, const server_rec* main, const VirtualHost* upper) {
  const auto* const own = static_cast<const VirtualHost*>(ap_get_module_config(server->module_config, &evercert_module));
  HostWish wish;
  if (own != nullptr && (own != upper || server == main)) wish = own->wish;
  if (upper != nullptr && server != main) wish.inherit(upper->wish);
  return wish;
}

}  // namespace

ApacheCycle& cycle() {
  return *current_cycle;
}

void new_cycle(apr_pool_t* pool) {
  current_cycle = pool_new<ApacheCycle>(pool);
}

ApacheCycle::~ApacheCycle() {
  if (kept_agent() != nullptr) kept_agent()->end_relay();
  configuration_.close();
  if (current_cycle == this) current_cycle = nullptr;
}

VirtualHost& virtual_host_of(const server_rec* server) {
  return *static_cast<VirtualHost*>(ap_get_module_config(server->module_config, &evercert_module));
}

ApacheHost* host_of(const server_rec* server) {
  const auto* const conf = static_cast<VirtualHost*>(ap_get_module_config(server->module_config, &evercert_module));
  return conf != nullptr && conf->host != nullptr && conf->host->server == server ? conf->host : nullptr;
}

bool ApacheCycle::check(server_rec* main, apr_pool_t* pool) {
  const bool added = report(add_hosts(main, pool), main);
  if (configuration_.unused()) return added;
  const Place place{text(main->defn_name).empty() ? std::string(text(ap_server_root)) : std::string(text(main->defn_name)), 0};
  const std::string program = program_of_module(&current_cycle, EVERCERT_BUILT_PROGRAM, EVERCERT_INSTALLED_PROGRAM);
  // As "Apache/2.4.62", without the words for people behind it.
  const std::string banner(text(ap_get_server_description()));
  const bool good = report(configuration_.check(banner.substr(0, banner.find(' ')), program, place), main);
  if (!added || !good || configuration_.plan() == nullptr) return false;
  return !only_tests() || configuration_.plan()->certificates.empty() || would_start(main);
}

// What the test of a configuration accepts must start.
bool ApacheCycle::would_start(const server_rec* main) {
  const auto program = configuration_.agent_program(ap_unixd_config.user_id, ap_unixd_config.group_id);
  Result<Done> done = program ? configuration_.examine() : Result<Done>(program.error());
  if (done && ::access(configuration_.state_path().c_str(), F_OK) == 0)
    done = configuration_.prepare(program->become.value_or(::geteuid()), ap_unixd_config.group_id);
  if (!done) log_line(APLOG_CRIT | APLOG_STARTUP, main, done.error().message);
  return done.has_value();
}

std::vector<Complaint> ApacheCycle::add_hosts(server_rec* main, apr_pool_t* pool) {
  const auto* const upper = static_cast<const VirtualHost*>(ap_get_module_config(main->module_config, &evercert_module));
  std::vector<Complaint> complaints;
  const auto complain = [&](Complaint::Severity severity, const Place& place, const std::string& why) {
    complaints.push_back({severity, place, "", why});
  };
  constexpr auto error = Complaint::Severity::error;
  bool any = !configuration_.unused();
  std::vector<Place> bare;
  for (FoundServer& found : find_servers(main, port_in(configuration_.settings().global, "tls_port", 443))) {
    auto* const conf = pool_new<VirtualHost>(pool);
    const HostWish& wish = conf->wish = wish_of(found.server, main, upper);
    ap_set_module_config(found.server->module_config, &evercert_module, conf);
    // `Evercert on` for all hosts means those that speak TLS.
    if (!wish.active() || (!found.tls && (wish.inherited || found.server == main) && wish.certificates.empty())) {
      if (found.tls && !found.has_certificate) bare.push_back(found.facts.place);
      continue;
    }
    any = true;
    const Place place = wish.inherited ? found.facts.place : wish.place;
    if (!found.tls && !found.tls_written && found.expects_tls)
      complain(error, place, "there is no \"SSLEngine on\" here, so plain HTTP would be spoken on a port for TLS; write it");
    else if (!found.tls)
      complain(Complaint::Severity::warning, place,
               "this virtual host has no \"SSLEngine on\": its certificate is ordered, but served nowhere");
    if (found.writes_certificate) found.facts.served_otherwise = "its own SSLCertificateFile";
    if (!found.managed_by_md.empty()) found.facts.served_otherwise = "mod_md (" + found.managed_by_md + ")";
    if (!found.managed_by_md.empty() && (!wish.inherited || !wish.certificates.empty()))
      complain(error, place,
               "both mod_md and evercert are to manage the certificate of this virtual host (" + found.managed_by_md +
                   " is the other's line); remove the name there, or write \"Evercert off\" here");
    ApacheHost& host = hosts_.emplace_back();
    host.cycle = this;
    host.server = found.server;
    host.has_own = found.has_certificate;
    host.server_names = found.facts.names;
    conf->host = &host;
    const auto added = configuration_.add_host(host, wish, found.facts);
    if (!added) complain(error, found.facts.place, added.error().message);
  }
  // mod_ssl passes this under -t and refuses to start. Where mod_md is loaded, it may be what supplies them.
  for (const Place& place : bare)
    if (any && ap_find_linked_module("mod_md.c") == nullptr)
      complain(error, place,
               "this virtual host has \"SSLEngine on\" and no certificate; write \"Evercert on\" or an SSLCertificateFile");
  return complaints;
}

// False when one of them forbids to go on. The first of two readings at a start says errors only; the second has the log.
bool ApacheCycle::report(const std::vector<Complaint>& complaints, const server_rec* main) {
  bool acceptable = true;
  for (const Complaint& complaint : complaints) {
    const bool error = complaint.severity == Complaint::Severity::error;
    acceptable = acceptable && !error;
    if (error || !is_first_reading() || only_tests())
      log_line((error                                                ? APLOG_ERR
                : complaint.severity == Complaint::Severity::warning ? APLOG_WARNING
                                                                     : APLOG_NOTICE) |
                   APLOG_STARTUP,
               main, complaint.message + " in " + complaint.place.text());
  }
  const auto program = configuration_.agent_program(ap_unixd_config.user_id, ap_unixd_config.group_id);
  const auto warning =
      program ? configuration_.export_warning(program->become.value_or(::geteuid()), ap_unixd_config.group_id) : std::nullopt;
  if (warning && (!is_first_reading() || only_tests())) log_line(APLOG_WARNING | APLOG_STARTUP, main, *warning);
  return acceptable;
}

bool ApacheCycle::begin(server_rec* main) {
  if (is_first_reading() || configuration_.plan() == nullptr) return true;
  if (configuration_.plan()->certificates.empty()) {
    if (kept_agent() != nullptr) kept_agent()->end();
    return true;
  }
  const auto prepared = prepare();
  if (prepared) return true;
  log_line(APLOG_CRIT, main, prepared.error().message);
  if (!last_serving_key) return false;
  // A restart that may not fail: what is on disk is served on, and the agent goes on with the configuration before.
  log_line(APLOG_CRIT, main, "the certificates that there are go on being served; mend this before the next start");
  if (const auto served = configuration_.serve_on(kept_agent()->instance(), *last_serving_key); !served)
    log_line(APLOG_CRIT, main, served.error().message);
  kept_agent()->go_on();
  return true;
}

Result<Done> ApacheCycle::prepare() {
  auto program = configuration_.agent_program(ap_unixd_config.user_id, ap_unixd_config.group_id);
  if (!program) return program.error();
  const std::string path = configuration_.state_path();
  if (auto made = configuration_.prepare(program->become.value_or(::geteuid()), ap_unixd_config.group_id); !made) return made;
  if (::geteuid() != 0)
    log_line(APLOG_NOTICE, ap_server_conf,
             "Apache was not started by root: the keys in " + path + " are as safe as everything else of this user");
  if (ap_exists_config_define("DEBUG") != 0)
    log_line(APLOG_NOTICE, ap_server_conf,
             "Apache runs as a single process (-X), which looks after no others: an agent that ends is not started again");
  if (auto kept = keep_agent(); !kept) return kept;
  if (auto begun = configuration_.begin(kept_agent()->instance()); !begun) return begun;
  last_serving_key = configuration_.serving_key();
  // Once more: now with what hides it from its user.
  program = configuration_.agent_program(ap_unixd_config.user_id, ap_unixd_config.group_id);
  if (!program) return program.error();
  kept_agent()->follow(*program, std::move(*configuration_.carried()));
  configuration_.carried().reset();
  return Done{};
}

void ApacheCycle::begin_process() {
  if (const auto safe = make_undumpable(); !safe) log_.write(LogLevel::error, safe.error().message);
  if (configuration_.instance() == nullptr) return;
  if (kept_agent() != nullptr) kept_agent()->forget();
  configuration_.close_secrets();
  if (auto opened = configuration_.open(); !opened)
    log_.write(LogLevel::error, "no certificate can be served by this process: " + opened.error().message);
}

std::string ApacheCycle::stand_in_for(const ApacheHost& host) {
  std::vector<Identifier> names;
  for (const std::string& name : host.server_names) names.push_back({IdentifierKind::dns, name});
  const auto path = stand_in_.write(names.empty() ? "evercert" : names.front().value, names);
  if (path) return *path;
  log_.write(LogLevel::error, path.error().message);
  return "";
}

}  // namespace evercert
