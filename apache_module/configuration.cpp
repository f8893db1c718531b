#include "configuration.h"

#include <http_main.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unixd.h>

#include <algorithm>

namespace evercert {

namespace {

ApacheCycle* current_cycle = nullptr;
// Outlives configurations, as the module does: it is never unloaded.
AgentProcess* agent = nullptr;
std::optional<SealKey> last_serving_key;

bool is_first_reading() {
  return ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG;
}

bool only_tests() {
  return ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST;
}

std::string in_place(const Place& place) {
  return " in " + place.text();
}

struct AgentUser {
  uid_t user;
  gid_t group;
};

Result<AgentUser> agent_user(const std::string& wanted) {
  if (::geteuid() != 0) return AgentUser{::geteuid(), ::getegid()};
  if (wanted.empty()) return AgentUser{ap_unixd_config.user_id, ap_unixd_config.group_id};
  const passwd* const entry = ::getpwnam(wanted.c_str());
  if (entry == nullptr)
    return Error{ErrorKind::configuration,
                 "EvercertAgentUser " + wanted + ": there is no such user; create it, or remove the line"};
  return AgentUser{entry->pw_uid, ap_unixd_config.group_id};
}

}  // namespace

ApacheCycle& cycle() {
  return *current_cycle;
}

void new_cycle(apr_pool_t* pool) {
  current_cycle = pool_new<ApacheCycle>(pool);
}

ApacheCycle::~ApacheCycle() {
  if (agent != nullptr) agent->end_relay();
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
  const bool added = add_hosts(main, pool);
  if (configuration_.unused()) return added;
  const Place place{text(main->defn_name).empty() ? std::string(text(ap_server_root)) : std::string(text(main->defn_name)), 0};
  const std::string program = program_of_module(&current_cycle, EVERCERT_BUILT_PROGRAM, EVERCERT_INSTALLED_PROGRAM);
  // As "Apache/2.4.62", without the words for people behind it.
  const std::string banner(text(ap_get_server_description()));
  const bool good = report(configuration_.check(banner.substr(0, banner.find(' ')), program, place), main);
  return added && good && configuration_.plan() != nullptr;
}

bool ApacheCycle::add_hosts(server_rec* main, apr_pool_t* pool) {
  const Section& global = configuration_.settings().global;
  const auto port = std::find_if(global.settings.begin(), global.settings.end(),
                                 [](const Setting& setting) { return setting.option->name == "tls_port"; });
  const unsigned tls_port =
      port == global.settings.end() ? 443 : static_cast<unsigned>(std::strtoul(port->words.front().c_str(), nullptr, 10));
  const auto* const upper = static_cast<const VirtualHost*>(ap_get_module_config(main->module_config, &evercert_module));
  bool good = true;
  bool any = !configuration_.unused();
  const auto refuse = [&](const Place& place, const std::string& why) {
    good = false;
    log_line(APLOG_ERR | APLOG_STARTUP, main, why + in_place(place));
  };
  std::vector<FoundServer> bare;
  for (FoundServer& found : find_servers(main, tls_port)) {
    const auto* const own =
        static_cast<const VirtualHost*>(ap_get_module_config(found.server->module_config, &evercert_module));
    auto* const conf = pool_new<VirtualHost>(pool);
    if (own != nullptr && (own != upper || found.server == main)) conf->wish = own->wish;
    if (upper != nullptr && found.server != main) conf->wish.inherit(upper->wish);
    const HostWish& wish = conf->wish;
    ap_set_module_config(found.server->module_config, &evercert_module, conf);
    if (!wish.active() || (!found.tls && (wish.inherited || found.server == main) && wish.certificates.empty())) {
      if (found.tls && !found.has_certificate) bare.push_back(found);
      continue;
    }
    any = true;
    const Place place = wish.inherited ? found.facts.place : wish.place;
    if (!found.tls && !found.tls_written && found.expects_tls)
      refuse(place, "there is no \"SSLEngine on\" here, so plain HTTP would be spoken on a port for TLS; write it");
    else if (!found.tls && !is_first_reading())
      log_line(APLOG_WARNING | APLOG_STARTUP, main,
               "this virtual host has no \"SSLEngine on\": its certificate is ordered, but served nowhere" + in_place(place));
    if (!found.managed_by_md.empty())
      refuse(place, "both mod_md and evercert are to manage the certificate of this virtual host (" + found.managed_by_md +
                        " is the other's line); remove the name there, or write \"Evercert off\" here");
    ApacheHost& host = hosts_.emplace_back();
    host.cycle = this;
    host.server = found.server;
    host.has_own = found.has_certificate;
    conf->host = &host;
    if (const auto added = configuration_.add_host(host, wish, found.facts); !added)
      refuse(found.facts.place, added.error().message);
  }
  // mod_ssl passes this under -t and refuses to start. Where mod_md is loaded, it may be what supplies them.
  for (const FoundServer& found : bare)
    if (any && ap_find_linked_module("mod_md.c") == nullptr)
      refuse(found.facts.place,
             "this virtual host has \"SSLEngine on\" and no certificate; write \"Evercert on\" or an SSLCertificateFile");
  return good;
}

// False when one of them forbids to go on. The first of two readings at a start says errors only; the second has the log.
bool ApacheCycle::report(const std::vector<Complaint>& complaints, const server_rec* main) {
  bool acceptable = true;
  for (const Complaint& complaint : complaints) {
    const bool error = complaint.severity == Complaint::Severity::error;
    acceptable = acceptable && !error;
    if (error || !is_first_reading() || only_tests())
      log_line((error ? APLOG_ERR : APLOG_WARNING) | APLOG_STARTUP, main, complaint.message + in_place(complaint.place));
  }
  return acceptable;
}

bool ApacheCycle::begin(server_rec* main) {
  if (is_first_reading() || configuration_.plan() == nullptr) return true;
  if (configuration_.plan()->certificates.empty()) {
    if (agent != nullptr) agent->end();
    return true;
  }
  const auto prepared = prepare();
  if (prepared) return true;
  log_line(APLOG_CRIT, main, prepared.error().message);
  if (!last_serving_key) return false;
  // A restart that may not fail: what is on disk is served on, and the agent goes on with the configuration before.
  log_line(APLOG_CRIT, main, "the certificates that there are go on being served; mend this before the next start");
  if (const auto served = configuration_.serve_on(agent->instance(), *last_serving_key); !served)
    log_line(APLOG_CRIT, main, served.error().message);
  agent->go_on();
  return true;
}

Result<Done> ApacheCycle::prepare() {
  const auto user = agent_user(configuration_.plan()->agent_user);
  if (!user) return user.error();
  const std::string path = configuration_.state_path();
  if (auto made = configuration_.prepare(user->user, user->group); !made) return made;
  if (::geteuid() != 0)
    log_line(APLOG_NOTICE, ap_server_conf,
             "Apache was not started by root: the keys in " + path + " are as safe as everything else of this user");
  if (agent == nullptr) {
    auto instance = Instance::create();
    if (!instance) return instance.error();
    agent = new AgentProcess(std::move(*instance));
  }
  if (auto begun = configuration_.begin(agent->instance()); !begun) return begun;
  last_serving_key = configuration_.serving_key();
  Supervisor::Program program{.path = configuration_.program()};
  if (::geteuid() == 0) {
    program.become = user->user;
    program.become_group = user->group;
  }
  agent->follow(program, std::move(*configuration_.carried()), ap_server_conf->process->pool);
  configuration_.carried().reset();
  return Done{};
}

void tend_agent() {
  if (agent != nullptr) agent->tend();
}

void ApacheCycle::begin_process() {
  if (const auto safe = make_undumpable(); !safe) log_.write(LogLevel::error, safe.error().message);
  if (configuration_.instance() == nullptr) return;
  if (agent != nullptr) agent->forget();
  configuration_.close_secrets();
  if (auto opened = configuration_.open(); !opened)
    log_.write(LogLevel::error, "no certificate can be served by this process: " + opened.error().message);
}

std::string ApacheCycle::stand_in_for(const ApacheHost& host) {
  std::vector<Identifier> names;
  const std::string name(text(host.server->server_hostname));
  const auto add = [&](std::string_view word) {
    if (!word.empty()) names.push_back({IdentifierKind::dns, std::string(word)});
  };
  add(name);
  for (const apr_array_header_t* more : {host.server->names, host.server->wild_names})
    for (int i = 0; more != nullptr && i < more->nelts; ++i) add(text(APR_ARRAY_IDX(more, i, const char*)));
  auto pem = make_placeholder_pem(name.empty() ? "evercert" : name, names);
  if (!pem) {
    log_.write(LogLevel::error, pem.error().message);
    return "";
  }
  if (!stand_in_.valid()) stand_in_ = Descriptor(::memfd_create("evercert-stand-in", MFD_CLOEXEC));
  const auto content = pem->view();
  if (::ftruncate(stand_in_.get(), 0) != 0 ||
      ::pwrite(stand_in_.get(), content.data(), content.size(), 0) != static_cast<ssize_t>(content.size())) {
    log_.write(LogLevel::error, "cannot write a stand-in certificate for " + name);
    return "";
  }
  return "/proc/self/fd/" + std::to_string(stand_in_.get());
}

}  // namespace evercert
