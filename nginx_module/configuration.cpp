#include "configuration.h"

#include <openssl/sha.h>
#include <pwd.h>
#include <unistd.h>

#include "evercert/text.h"

extern "C" ngx_module_t ngx_evercert_module;

namespace evercert {

namespace {

ngx_uint_t nginx_level(LogLevel level) {
  switch (level) {
    case LogLevel::error:
      return NGX_LOG_ERR;
    case LogLevel::warn:
      return NGX_LOG_WARN;
    case LogLevel::notice:
      return NGX_LOG_NOTICE;
    case LogLevel::info:
      return NGX_LOG_INFO;
    case LogLevel::debug:
      break;
  }
  return NGX_LOG_DEBUG;
}

// What outlives reloads belongs to the cycles that use it; this only finds it again.
std::weak_ptr<Instance> running_instance;

std::string user_name(uid_t user) {
  const passwd* const entry = ::getpwuid(user);
  return entry == nullptr ? std::to_string(user) : entry->pw_name;
}

const ngx_core_conf_t& core_of(ngx_cycle_t* cycle) {
  return *reinterpret_cast<ngx_core_conf_t*>(ngx_get_conf(cycle->conf_ctx, ngx_core_module));
}

}  // namespace

void log_words(ngx_uint_t level, ngx_log_t* log, std::string_view line) {
  log_line(level, log, printable(spelled(line, "nginx")));
}

void NginxLogger::write(LogLevel level, std::string_view line) {
  log_words(nginx_level(level), ngx_cycle->log, line);
}

NginxCycle* cycle_of(ngx_cycle_t* cycle) {
  return reinterpret_cast<NginxCycle*>(ngx_get_conf(cycle->conf_ctx, ngx_evercert_module));
}

NginxCycle::~NginxCycle() {
  agent_.reset();
  configuration_.close();
  if (running_instance.expired()) unguard_forks();
}

NginxHost* NginxCycle::add_host(const HostWish& wish, const HostFacts& facts) {
  NginxHost& host = hosts_.emplace_back();
  host.cycle = this;
  const auto added = configuration_.add_host(host, wish, facts);
  if (added) return &host;
  log_words(NGX_LOG_EMERG, nginx_->log, added.error().message + " in " + facts.place.text());
  return nullptr;
}

NameMark make_mark(std::string_view what, std::string_view name) {
  const std::string whole = "evercert\n" + std::string(what) + "\n" + std::string(name);
  NameMark mark{};
  ::SHA256(reinterpret_cast<const unsigned char*>(whole.data()), whole.size(), mark.data());
  return mark;
}

std::optional<NameMark> NginxCycle::mark_of(const std::string& server_name) const {
  if (const auto found = names_.find(server_name); found != names_.end()) return found->second;
  const auto dot = server_name.find('.');
  if (dot == std::string::npos || names_.count("*" + server_name.substr(dot)) == 0) return std::nullopt;
  return make_mark("name", server_name);
}

ngx_int_t NginxCycle::finish() {
  if (configuration_.unused() || ngx_process == NGX_PROCESS_SIGNALLER) return NGX_OK;
  const Place place{std::string(text(nginx_->conf_file)), 0};
  const std::string program = program_of_module(&running_instance, EVERCERT_BUILT_PROGRAM, EVERCERT_INSTALLED_PROGRAM);
  if (!report(configuration_.check(NGINX_VER, program, place)) || configuration_.plan() == nullptr) return NGX_ERROR;
  if (configuration_.plan()->certificates.empty()) return NGX_OK;
  if (auto done = prepare(); !done) {
    log_words(NGX_LOG_EMERG, nginx_->log, done.error().message);
    return NGX_ERROR;
  }
  return add_path();
}

// False when one of them forbids to go on. Each in nginx's own form, so that editors and people find the line.
bool NginxCycle::report(const std::vector<Complaint>& complaints) {
  bool acceptable = true;
  for (const Complaint& complaint : complaints) {
    const bool error = complaint.severity == Complaint::Severity::error;
    acceptable = acceptable && !error;
    const auto milder = complaint.severity == Complaint::Severity::warning ? NGX_LOG_WARN : NGX_LOG_NOTICE;
    // Spelled by check(), which knows whether it is an issuer's option.
    log_line(error ? NGX_LOG_EMERG : milder, nginx_->log, printable(complaint.message + " in " + complaint.place.text()));
  }
  return acceptable;
}

Result<Done> NginxCycle::prepare() {
  const Plan& plan = *configuration_.plan();
  const ngx_core_conf_t& core = core_of(nginx_);
  const uid_t user = ::geteuid() == 0 ? core.user : ::geteuid();
  const gid_t group = ::geteuid() == 0 ? core.group : ::getegid();
  if (!plan.agent_user.empty() && plan.agent_user != user_name(user))
    return Error{
        ErrorKind::configuration,
        "evercert_agent_user " + plan.agent_user +
            ": nginx starts the agent from its cache "
            "manager process, which cannot change to another user; remove the line, or name the user of nginx's workers, " +
            user_name(user)};
  if (const auto warning = configuration_.export_warning(user, group)) log_words(NGX_LOG_WARN, nginx_->log, *warning);
  if (auto made = configuration_.prepare(user, group); !made) return made;
  if (const auto fit = configuration_.examine(); !fit) {
    if (ngx_test_config) return fit;
    log_words(NGX_LOG_ERR, nginx_->log, fit.error().message);
  }
  if (ngx_test_config) return Done{};

  if (::geteuid() != 0)
    log_words(NGX_LOG_NOTICE, nginx_->log,
              "nginx was not started by root: the keys in " + plan.state_path + " are as safe as everything else of user " +
                  user_name(user));
  auto instance = running_instance.lock();
  if (!instance) {
    auto created = Instance::create();
    if (!created) return created.error();
    instance = std::move(*created);
    running_instance = instance;
  }
  for (const CertificateSpec& certificate : plan.certificates)
    for (const Identifier& identifier : certificate.identifiers)
      names_.emplace(identifier.value, make_mark("name", identifier.value));
  if (auto begun = configuration_.begin(std::move(instance)); !begun) return begun;
  return guard_forks();
}

ngx_int_t NginxCycle::add_path() {
  auto* path = static_cast<ngx_path_t*>(ngx_pcalloc(nginx_->pool, sizeof(ngx_path_t)));
  if (path == nullptr) return NGX_ERROR;
  path->name = pool_text(nginx_->pool, configuration_.state_path() + "/state");
  path->data = this;
  path->manager = [](void* cycle) {
    constexpr ngx_msec_t hour = 3'600'000;  // the agent's own descriptor and timer wake this process, not the interval
    return guarded(hour, [&] {
      static_cast<NginxCycle*>(cycle)->begin_agent();
      return hour;
    });
  };
  path->conf_file = nginx_->conf_file.data;
  ngx_conf_t configuration{};
  configuration.cycle = nginx_;
  configuration.pool = nginx_->pool;
  configuration.log = nginx_->log;
  return ngx_add_path(&configuration, &path);
}

void NginxCycle::begin_process() {
  if (configuration_.instance() == nullptr) return;
  if (ngx_process == NGX_PROCESS_HELPER) return configuration_.forget_serving_key();
  if (ngx_process == NGX_PROCESS_WORKER) configuration_.close_secrets();
  if (auto opened = configuration_.open(); !opened)
    log_.write(LogLevel::error, "no certificate can be served by this process: " + opened.error().message);
  if (ngx_process == NGX_PROCESS_SINGLE) start_agent();
}

void NginxCycle::begin_agent() {
  if (configuration_.instance() != nullptr && !agent_) start_agent();
}

void NginxCycle::start_agent() {
  auto program = configuration_.agent_program(core_of(nginx_).user, core_of(nginx_).group);
  if (!program) return log_.write(LogLevel::error, program.error().message);
  agent_ = std::make_unique<AgentProcess>(std::move(*program), *configuration_.instance(), *configuration_.carried(), log_);
  agent_->start();
}

}  // namespace evercert
