#include "evercert/configuration.h"

#include <dlfcn.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

#include "evercert/descriptor.h"
#include "evercert/leader_file.h"
#include "serving/config/identifier.h"
#include "serving/platform/files.h"

namespace evercert {

namespace {

std::string real_path(const char* path) {
  const std::unique_ptr<char, decltype(&std::free)> whole(::realpath(path, nullptr), &std::free);
  return whole ? whole.get() : "";
}

}  // namespace

bool HostWish::active() const {
  if (mode == Mode::off) return false;
  return mode != Mode::unset || !certificates.empty();
}

void HostWish::inherit(const HostWish& parent) {
  if (mode == Mode::unset && parent.mode != Mode::unset) {
    // `off` above is overruled by certificates that are asked for here.
    mode = parent.mode == Mode::off && !certificates.empty() ? Mode::on : parent.mode;
    place = parent.place;
    inherited = true;
  }
  for (const Setting& setting : parent.options.settings) {
    bool given = false;
    for (const Setting& own : options.settings) given = given || own.option == setting.option;
    if (!given) options.settings.push_back(setting);
  }
}

std::string program_of_module(const void* module_symbol, const char* beside, const char* installed) {
  Dl_info found{};
  if (::dladdr(module_symbol, &found) == 0 || found.dli_fname == nullptr) return installed;
  std::string module = real_path(found.dli_fname);
  if (module.empty()) module = found.dli_fname;
  const std::string built = real_path((module.substr(0, module.rfind('/')) + "/" + beside).c_str());
  return built.empty() ? installed : built;
}

bool Configuration::unused() const {
  return settings_.global.settings.empty() && settings_.issuers.empty() && settings_.certificates.empty();
}

// What was written for all hosts means those that can have a certificate, and of their names those that a certificate can hold.
bool Configuration::leave_out(const HostWish& wish, HostFacts& facts) {
  if (!wish.inherited || !wish.certificates.empty()) return false;
  const auto tell = [&](const std::string& why) { remarks_.push_back({Complaint::Severity::notice, facts.place, "", why}); };
  const std::string remedy = "; write evercert on or off here to say it yourself";
  if (!facts.served_otherwise.empty()) {
    tell("evercert of the level above leaves this host alone: it has " + facts.served_otherwise + remedy);
    return true;
  }
  const bool named = std::any_of(wish.options.settings.begin(), wish.options.settings.end(),
                                 [](const Setting& setting) { return setting.option->name == "identifiers"; });
  if (named) return false;
  std::string others;
  std::erase_if(facts.names, [&](const std::string& name) {
    const auto identifiers = parse_server_name(name);
    const bool fits = identifiers && !identifiers->empty();
    if (!fits && !name.empty() && name != "_") others += (others.empty() ? "" : ", ") + name;
    return !fits;
  });
  if (facts.names.empty())
    tell("evercert of the level above leaves this host alone: it has no name that a certificate could be for" +
         (others.empty() ? "" : " (" + others + ")") + "; write evercert off here, or name what a certificate is for");
  else if (!others.empty())
    tell("evercert of the level above leaves out what a certificate cannot hold: " + others +
         "; name here what the certificate is for, if that is not all");
  return facts.names.empty();
}

Result<Done> Configuration::add_host(Host& host, const HostWish& wish, const HostFacts& given) {
  HostFacts facts = given;
  hosts_.push_back(&host);
  if (leave_out(wish, facts)) return Done{};
  std::vector<Section> sections = wish.certificates;
  if (sections.empty()) {
    Section& section = sections.emplace_back();
    section.place = wish.inherited ? facts.place : wish.place;
  }
  for (Section& section : sections) {
    for (const Setting& setting : wish.options.settings)
      if (find_setting(section, setting.option->name) == nullptr) section.settings.push_back(setting);
    if (const Setting* const name = find_setting(section, "name")) section.name = name->words.front();
    const bool prove_elsewhere =
        find_setting(section, "proof_address") != nullptr || find_setting(settings_.global, "proof_address") != nullptr;
    const auto switched_off = [](const Section& where) {
      const Setting* const proof = find_setting(where, "proof");
      return proof != nullptr && proof->words.front() == "off";
    };
    if (facts.quic_only && !prove_elsewhere && !switched_off(section) && !switched_off(settings_.global))
      remarks_.push_back({Complaint::Severity::warning, facts.place, "",
                          "this host listens for QUIC only: its certificate is served there but not proved, since the proof "
                          "connects by TCP; add a TLS listener, name one with proof_address, or write proof off"});
    const auto give = [&](std::string_view option, const std::vector<std::string>& words) {
      return set(section, Scope::certificate, option, words, facts.place);
    };
    Result<Done> done = Done{};
    if (wish.mode == HostWish::Mode::each && find_setting(section, "each") == nullptr) done = give("each", {});
    if (done) done = give("server_names", facts.names);
    if (done) done = give("plain_ports", facts.plain_ports);
    for (std::size_t i = 0; done && !prove_elsewhere && i < facts.listeners.size(); ++i)
      done = give("proof_address", facts.listeners[i]);
    if (!done) return done;
    host.sections.push_back(settings_.certificates.size());
    settings_.certificates.push_back(std::move(section));
  }
  return Done{};
}

const std::vector<Complaint>& Configuration::check(const std::string& server, const std::string& program, const Place& place) {
  // Neither can fail: both are words without control characters, given once.
  static_cast<void>(set(settings_.global, Scope::global, "server", std::array{server}, place).has_value());
  if (find_setting(settings_.global, "program") == nullptr)
    static_cast<void>(set(settings_.global, Scope::global, "program", std::array{program}, place).has_value());
  checked_ = evercert::check(settings_, files_);
  checked_.complaints.insert(checked_.complaints.begin(), remarks_.begin(), remarks_.end());
  if (auto fits = Cycle::fits(settings_, files_); checked_.plan && !fits) {
    checked_.complaints.push_back({Complaint::Severity::error, place, "", fits.error().message});
    checked_.plan.reset();
  }
  if (checked_.plan) {
    state_path_ = checked_.plan->state_path;
    program_ = checked_.plan->program;
    agent_user_ = checked_.plan->agent_user;
    cache_size_ = checked_.plan->cache_size;
  }
  return checked_.complaints;
}

Result<Supervisor::Program> Configuration::agent_program(std::uint32_t user, std::uint32_t group) const {
  Supervisor::Program program{.path = program_, .image = image_, .hidden = hidden_};
  if (::geteuid() != 0) return program;
  program.become = user;
  program.become_group = group;
  if (agent_user_.empty()) return program;
  const passwd* const entry = ::getpwnam(agent_user_.c_str());
  if (entry == nullptr)
    return Error{ErrorKind::configuration,
                 "the user \"" + agent_user_ + "\" does not exist; name another with the option agent_user, or remove it"};
  program.become = entry->pw_uid;
  return program;
}

Result<Done> Configuration::examine() const {
  if (auto program = check_program(program_); !program) return program;
  // Not made yet: check() has asked whether it can be.
  if (::access(state_path_.c_str(), F_OK) != 0) return Done{};
  const auto keys = existing_seal_keys(state_path_);
  // Whoever tests without being root does not get to see it, though a start would.
  const bool hidden = !keys && ::geteuid() != 0 && ::access((state_path_ + "/seal.key").c_str(), R_OK) != 0;
  if (!keys && !hidden) return keys.error();
  const auto leader = examine_leader_file(state_path_);
  const bool leader_hidden = ::geteuid() != 0 && ::access((state_path_ + "/leader").c_str(), R_OK) != 0;
  return leader_hidden ? Result<Done>(Done{}) : leader;
}

Result<Done> Configuration::prepare(std::uint32_t owner, std::uint32_t group) const {
  const Setting* const server = find_setting(settings_.global, "server");
  auto made = prepare_state_directories(state_path_, owner, group, [&](const std::string& own) {
    return state_path_advice(settings_, server == nullptr ? "" : server->words.front(), own);
  });
  const Setting* const written = find_setting(settings_.global, "state_path");
  if (made || written == nullptr) return made;
  return Error{made.error().kind, made.error().message + " in " + written->place.text()};
}

Result<Done> Configuration::begin(std::shared_ptr<Instance> instance) {
  auto keys = seal_keys(state_path_);
  if (!keys) return keys.error();
  // Without it nothing is renewed, and the start of the server does not wait for that.
  auto leader = open_leader_file(state_path_);
  if (!leader)
    log_.write(LogLevel::error,
               leader.error().message + "; what is stored is served, nothing is renewed until it can be opened");
  instance_ = std::move(instance);
  if (auto shared = share(read_lines(keys->serving)); !shared) return shared;
  if (auto hidden = hide_program(); !hidden) return hidden;
  if (leader) {
    ReachedNumbers reached(leader->get());
    for (const auto& [slot, certificate] : offered_) reached_[slot] = reached.of(certificate.name);
    for (const auto& [slot, name] : other_lines_) reached_[slot] = reached.of(name);
  }
  auto carried = Cycle::create(settings_, *keys, files_, leader ? std::move(*leader) : Descriptor());
  if (!carried) return carried.error();
  carried->leader_of = state_path_;
  carried->leader_user = ::geteuid();
  carried_.emplace(std::move(*carried));
  serving_key_ = std::move(keys->serving);
  forget_plan();
  return Done{};
}

Result<Done> Configuration::serve_on(std::shared_ptr<Instance> instance, const SealKey& serving) {
  instance_ = std::move(instance);
  auto shared = share(read_lines(serving));
  serving_key_ = serving;
  forget_plan();
  return shared;
}

// While this process is root: who starts the agent later may not be (nginx's manager).
Result<Done> Configuration::hide_program() {
  Supervisor::Program program{.path = program_};
  auto hidden = hide(program, log_);
  image_ = std::move(program.image);
  hidden_ = program.hidden;
  return hidden;
}

void Configuration::forget_plan() {
  settings_ = {};
  files_ = {};
  checked_ = {};
}

// What is stored, and from now on the plan's certificates have the names of their lines.
std::vector<StoredLine> Configuration::read_lines(const SealKey& serving) {
  StoredLines stored = find_stored_lines(state_path_, serving, *checked_.plan, settings_);
  if (!stored.trouble.empty()) log_.write(LogLevel::error, "evercert: " + stored.trouble);
  return std::move(stored.lines);
}

// Names and slots; generations stay as they are on the board: workers look at the disk for what the agent has not put there
// yet.
Result<Done> Configuration::share(const std::vector<StoredLine>& stored) {
  const Plan& plan = *checked_.plan;
  const LineIndex lines(stored, std::chrono::system_clock::now());
  auto board = Board::map(instance_->board.get(), Board::Access::write);
  if (!board) return board.error();
  std::vector<CertificateSlot> slots;
  for (const CertificateSpec& certificate : plan.certificates) {
    auto slot = board->add(certificate.name);
    if (!slot) return slot.error();
    slots.push_back(*slot);
    Offered& offered = offered_[*slot];
    offered = {certificate.name, certificate.identifiers, certificate.placeholder, {}};
    for (const Identifier& identifier : certificate.identifiers) {
      const StoredLine* const other = lines.best_for(identifier, certificate.name);
      if (other == nullptr) continue;
      auto other_slot = board->add(other->name);
      if (!other_slot) return other_slot.error();
      offered.others.add(identifier, *other_slot);
      other_lines_[*other_slot] = other->name;
    }
  }
  for (Host* const host : hosts_)
    for (const std::size_t section : host->sections)
      for (const std::size_t index : checked_.certificates_of_section[section])
        for (const Identifier& identifier : plan.certificates[index].identifiers) host->names.add(identifier, slots[index]);
  return Done{};
}

void Configuration::close_secrets() {
  carried_.reset();
  image_.reset();
  if (instance_) instance_->board.reset();
}

Result<Done> Configuration::open() {
  if (!serving_key_) return Error{ErrorKind::internal, "this process was not given the key that opens certificates"};
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
  for (const auto& [slot, certificate] : offered_) catalog_->know(slot, certificate.name, reached_[slot]);
  for (const auto& [slot, name] : other_lines_) catalog_->know(slot, name, reached_[slot]);
  return Done{};
}

void Configuration::close() {
  catalog_.reset();
  instance_.reset();
}

bool Configuration::servable(const Host& host, std::string_view server_name) const {
  const auto slot = host.names.find(server_name);
  if (!slot || !catalog_) return false;
  if (catalog_->has(*slot) || wants_placeholder(*slot)) return true;
  const auto other = other_lines_.empty() ? std::nullopt : offered_.at(*slot).others.find(server_name);
  return other && catalog_->has(*other);
}

// Its own line's. Where that has nothing that names the server, whatever else is stored and does, until it has.
std::shared_ptr<const ServedCertificate> Configuration::certificate_for(const Host& host, std::string_view server_name,
                                                                        const std::string** name) {
  const auto slot = host.names.find(server_name);
  if (!slot || !catalog_) return nullptr;
  const Offered& offered = offered_.at(*slot);
  if (name != nullptr) *name = &offered.name;
  auto certificate = catalog_->find(*slot);
  if ((!host.has_own && offered.others.empty()) || (certificate && certificate->is_good_for(server_name))) {
    if (certificate) return certificate;
  } else {
    const auto other = offered.others.find(server_name);
    if (auto covering = other ? catalog_->find(*other) : nullptr; covering && covering->is_good_for(server_name)) {
      if (name != nullptr) *name = &other_lines_.at(*other);
      return covering;
    }
    // What the operator gave was there for this name before.
    if (host.has_own && host.names.has(server_name)) return nullptr;
    if (certificate) return certificate;
  }
  return host.has_own || !wants_placeholder(*slot) ? nullptr : placeholder(*slot);
}

bool Configuration::wants_placeholder(CertificateSlot slot) const {
  const auto found = offered_.find(slot);
  return found != offered_.end() && found->second.placeholder;
}

// A self-signed stand-in, made when it is first asked for; null if that fails.
std::shared_ptr<const ServedCertificate> Configuration::placeholder(CertificateSlot slot) {
  constexpr std::chrono::hours renewed_after{72};  // of the week that it is valid
  const auto found = offered_.find(slot);
  if (found == offered_.end()) return nullptr;
  const std::lock_guard guard(stand_ins_mutex_);
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
