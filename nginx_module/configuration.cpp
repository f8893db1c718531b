#include "configuration.h"

#include <dlfcn.h>
#include <openssl/sha.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

extern "C" ngx_module_t ngx_evercert_module;

namespace evercert {

namespace {

// What outlives reloads belongs to the cycles that use it; this only finds it again.
std::weak_ptr<Instance> running_instance;

const Setting* find(const Section& section, std::string_view option) {
  const auto found = std::find_if(section.settings.begin(), section.settings.end(),
                                  [&](const Setting& setting) { return setting.option->name == option; });
  return found == section.settings.end() ? nullptr : &*found;
}

// A module in the build tree uses the program built beside it, an installed one the installed program.
std::string default_program() {
  Dl_info found{};
  if (::dladdr(&running_instance, &found) == 0 || found.dli_fname == nullptr) return EVERCERT_INSTALLED_PROGRAM;
  const std::unique_ptr<char, decltype(&std::free)> whole(::realpath(found.dli_fname, nullptr), &std::free);
  const std::string module = whole ? whole.get() : found.dli_fname;
  const std::string built = module.substr(0, module.rfind('/')) + "/" EVERCERT_BUILT_PROGRAM;
  const std::unique_ptr<char, decltype(&std::free)> program(::realpath(built.c_str(), nullptr), &std::free);
  return program ? program.get() : EVERCERT_INSTALLED_PROGRAM;
}

std::string user_name(uid_t user) {
  const passwd* const entry = ::getpwuid(user);
  return entry == nullptr ? std::to_string(user) : entry->pw_name;
}

const ngx_core_conf_t& core_of(ngx_cycle_t* cycle) {
  return *reinterpret_cast<ngx_core_conf_t*>(ngx_get_conf(cycle->conf_ctx, ngx_core_module));
}

}  // namespace

NginxCycle* cycle_of(ngx_cycle_t* cycle) {
  return reinterpret_cast<NginxCycle*>(ngx_get_conf(cycle->conf_ctx, ngx_evercert_module));
}

NginxCycle::~NginxCycle() {
  agent_.reset();
  catalog_.reset();
  instance_.reset();
  if (running_instance.expired()) unguard_forks();
}

Host* NginxCycle::add_host(const ServerBlock& block, const ServerFacts& facts) {
  Host& host = hosts_.emplace_back();
  host.cycle = this;
  std::vector<Section> sections = block.certificates;
  if (sections.empty()) {
    Section& section = sections.emplace_back();
    section.place = block.inherited ? facts.place : block.place;
  }
  const auto give = [&](Section& section, std::string_view option, const std::vector<std::string>& words) {
    const auto done = set(section, Scope::certificate, option, words, facts.place);
    if (!done) log_line(NGX_LOG_EMERG, nginx_->log, done.error().message + " in " + facts.place.text());
    return done.has_value();
  };
  for (Section& section : sections) {
    for (const Setting& setting : block.options.settings)
      if (find(section, setting.option->name) == nullptr) section.settings.push_back(setting);
    if (const Setting* const name = find(section, "name")) section.name = name->words.front();
    const bool prove_elsewhere =
        find(section, "proof_address") != nullptr || find(settings_.global, "proof_address") != nullptr;
    if (block.mode == ServerBlock::Mode::each && find(section, "each") == nullptr && !give(section, "each", {})) return nullptr;
    if (!give(section, "server_names", facts.names) || !give(section, "plain_ports", facts.plain_ports)) return nullptr;
    if (!prove_elsewhere)
      for (const auto& listener : facts.listeners)
        if (!give(section, "proof_address", listener)) return nullptr;
    host.sections.push_back(settings_.certificates.size());
    settings_.certificates.push_back(std::move(section));
  }
  return &host;
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
  const bool unused = settings_.global.settings.empty() && settings_.issuers.empty() && settings_.certificates.empty();
  if (unused || ngx_process == NGX_PROCESS_SIGNALLER) return NGX_OK;
  const Place place{std::string(text(nginx_->conf_file)), 0};
  const std::array<std::string, 1> server{NGINX_VER};
  const std::array<std::string, 1> program{default_program()};
  Result<Done> done = set(settings_.global, Scope::global, "server", server, place);
  if (done && find(settings_.global, "program") == nullptr)
    done = set(settings_.global, Scope::global, "program", program, place);

  DiskFiles files;
  const Checked checked = check(settings_, files);
  if (!report(checked.complaints) || !checked.plan) return NGX_ERROR;
  if (checked.plan->certificates.empty()) return NGX_OK;
  if (done) done = prepare(checked, files);
  if (done) return add_path();
  log_line(NGX_LOG_EMERG, nginx_->log, done.error().message);
  return NGX_ERROR;
}

// False when one of them forbids to go on. Each in nginx's own form, so that editors and people find the line.
bool NginxCycle::report(const std::vector<Complaint>& complaints) {
  bool acceptable = true;
  for (const Complaint& complaint : complaints) {
    const bool error = complaint.severity == Complaint::Severity::error;
    acceptable = acceptable && !error;
    log_line(error ? NGX_LOG_EMERG : NGX_LOG_WARN, nginx_->log, complaint.message + " in " + complaint.place.text());
  }
  return acceptable;
}

Result<Done> NginxCycle::prepare(const Checked& checked, const DiskFiles& files) {
  const Plan& plan = *checked.plan;
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
  state_path_ = plan.state_path;
  program_ = plan.program;
  cache_size_ = plan.cache_size;
  if (auto made = prepare_state_directories(state_path_, user, group); !made) return made;
  if (ngx_test_config) return Done{};

  if (::geteuid() != 0)
    log_line(NGX_LOG_NOTICE, nginx_->log,
             "nginx was not started by root: the keys in " + state_path_ + " are as safe as everything else of user " +
                 user_name(user));
  auto keys = seal_keys(state_path_);
  if (!keys) return keys.error();
  instance_ = running_instance.lock();
  if (!instance_) {
    auto created = Instance::create();
    if (!created) return created.error();
    instance_ = std::move(*created);
    running_instance = instance_;
  }
  if (auto shared = share(plan, keys->serving, checked.certificates_of_section); !shared) return shared;
  auto carried = Cycle::create(settings_, *keys, files);
  if (!carried) return carried.error();
  carried_.emplace(std::move(*carried));
  serving_key_ = std::move(keys->serving);
  return guard_forks();
}

// The board is right before the first worker exists, so the first handshake needs no agent.
Result<Done> NginxCycle::share(const Plan& plan, const SealKey& serving,
                               const std::vector<std::vector<std::size_t>>& certificates_of_section) {
  auto board = Board::map(instance_->board.get(), Board::Access::write);
  if (!board) return board.error();
  auto state = StateReader::open(state_path_);
  if (!state) return state.error();
  std::vector<CertificateSlot> slots;
  for (const CertificateSpec& certificate : plan.certificates) {
    auto slot = board->add(certificate.name);
    if (!slot) return slot.error();
    slots.push_back(*slot);
    offered_[*slot] = {certificate.name, certificate.identifiers, certificate.placeholder};
    for (const Identifier& identifier : certificate.identifiers)
      names_.emplace(identifier.value, make_mark("name", identifier.value));
  }
  fill_board(*board, *state, serving, plan, log_);
  for (Host& host : hosts_)
    for (const std::size_t section : host.sections)
      for (const std::size_t index : certificates_of_section[section])
        for (const Identifier& identifier : plan.certificates[index].identifiers) host.names.add(identifier, slots[index]);
  return Done{};
}

ngx_int_t NginxCycle::add_path() {
  auto* path = static_cast<ngx_path_t*>(ngx_pcalloc(nginx_->pool, sizeof(ngx_path_t)));
  if (path == nullptr) return NGX_ERROR;
  path->name = pool_text(nginx_->pool, state_path_ + "/state");
  path->data = this;
  path->manager = [](void* cycle) {
    constexpr ngx_msec_t hour = 3600 * 1000;  // the agent's own descriptor and timer wake this process, not the interval
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
  if (!instance_) return;
  if (ngx_process == NGX_PROCESS_HELPER) return serving_key_.reset();
  if (ngx_process == NGX_PROCESS_WORKER) {
    carried_.reset();
    instance_->board.reset();
  }
  if (auto opened = open_catalog(); !opened)
    log_.write(LogLevel::error, "no certificate can be served by this process: " + opened.error().message);
  if (ngx_process == NGX_PROCESS_SINGLE) start_agent();
}

void NginxCycle::begin_agent() {
  if (instance_ && !agent_) start_agent();
}

void NginxCycle::start_agent() {
  Supervisor::Program program{.path = program_};
  if (::geteuid() == 0) {
    program.become = core_of(nginx_).user;
    program.become_group = core_of(nginx_).group;
  }
  agent_ = std::make_unique<AgentProcess>(std::move(program), *instance_, *carried_, log_);
  agent_->start();
}

Result<Done> NginxCycle::open_catalog() {
  auto board = Board::map(instance_->board_read_only.get(), Board::Access::read);
  if (!board) return board.error();
  auto state = StateReader::open(state_path_);
  if (!state) return state.error();
  auto own_state = StateReader::open(state_path_);
  if (!own_state) return own_state.error();
  state_.emplace(std::move(*own_state));
  auto report = ReportPage::map(instance_->report.get());
  if (!report) return report.error();
  catalog_ = std::make_unique<Catalog>(std::move(*board), std::move(*state), std::move(*serving_key_),
                                       std::make_unique<ReportPage>(std::move(*report)), cache_size_, log_);
  serving_key_.reset();
  for (const auto& [slot, certificate] : offered_) catalog_->know(slot, certificate.name);
  return Done{};
}

bool NginxCycle::wants_placeholder(CertificateSlot slot) const {
  const auto found = offered_.find(slot);
  return found != offered_.end() && found->second.placeholder;
}

std::shared_ptr<const ServedCertificate> NginxCycle::placeholder(CertificateSlot slot) {
  constexpr std::chrono::hours renewed_after{72};  // of the week that it is valid
  const auto found = offered_.find(slot);
  if (found == offered_.end()) return nullptr;
  StandIn& stand_in = stand_ins_[slot];
  const auto now = std::chrono::steady_clock::now();
  if (stand_in.certificate && now - stand_in.made < renewed_after) return stand_in.certificate;
  auto made = make_placeholder(found->second.name, found->second.identifiers);
  if (made)
    stand_in = {std::move(*made), now};
  else
    log_.write(LogLevel::error, made.error().message);
  return stand_in.certificate;
}

}  // namespace evercert
