#include "bridge.h"

#include <dlfcn.h>
#include <openssl/evp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>

#include "evercert/leader_file.h"
#include "evercert/text.h"

namespace evercert {

namespace {

constexpr std::size_t most_pages = 64;
constexpr std::size_t portion = std::size_t{32} << 10;

// A module in the build tree uses the program built beside it, an installed one the installed program.
std::string default_program() {
  Dl_info found{};
  if (::dladdr(reinterpret_cast<const void*>(&default_program), &found) == 0 || found.dli_fname == nullptr)
    return EVERCERT_INSTALLED_PROGRAM;
  const std::unique_ptr<char, decltype(&std::free)> whole(::realpath(found.dli_fname, nullptr), &std::free);
  const std::string module = whole ? whole.get() : found.dli_fname;
  const std::string built = module.substr(0, module.rfind('/')) + "/" EVERCERT_BUILT_PROGRAM;
  const std::unique_ptr<char, decltype(&std::free)> program(::realpath(built.c_str(), nullptr), &std::free);
  return program ? program.get() : EVERCERT_INSTALLED_PROGRAM;
}

// The first word of an option; a copy, because whoever asks goes on to add settings.
std::optional<std::string> word_of(const Section& section, std::string_view option) {
  const Setting* const setting = find_setting(section, option);
  return setting == nullptr || setting->words.empty() ? std::nullopt : std::optional(setting->words.front());
}

// An error with the line of the option that it comes from, if that was written.
Error at_line_of(const Section& section, std::string_view option, const Error& error) {
  const Setting* const setting = find_setting(section, option);
  return setting == nullptr ? error : Error{error.kind, setting->place.text() + ": " + error.message};
}

struct User {
  uid_t uid;
  gid_t gid;
};

// HAProxy does not tell a module which user it will become; its packages all call that user haproxy.
Result<User> agent_user(const Plan& plan) {
  if (::geteuid() != 0) return User{::geteuid(), ::getegid()};
  const std::string name = plan.agent_user.empty() ? "haproxy" : plan.agent_user;
  const passwd* const entry = ::getpwnam(name.c_str());
  if (entry == nullptr)
    return Error{ErrorKind::configuration,
                 "the user \"" + name + "\" does not exist; name the user of HAProxy's global section with agent_user"};
  return User{entry->pw_uid, entry->pw_gid};
}

// Agents with the same id belong to the same server, and the newer one takes over. HAProxy's processes have nothing in common
// over a reload but their configuration: of two that use the same PEM files, the later one is the reloaded one.
std::string instance_id(const std::string& pem_path) {
  static constexpr std::string_view digits = "0123456789abcdef";
  const std::string text = "evercert haproxy instance 1\n" + pem_path;
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  ::EVP_Digest(text.data(), text.size(), digest.data(), &size, ::EVP_sha256(), nullptr);
  std::string id;
  for (unsigned index = 0; index < 16 && index < size; ++index)
    id.append({digits[digest[index] >> 4], digits[digest[index] & 15]});
  return id;
}

// HAProxy tells its Lua nothing of -c. Whatever follows that letter means nothing there, but for -cc, which reads no Lua.
bool is_a_test() {
  std::ifstream words("/proc/self/cmdline");
  std::string word;
  while (std::getline(words, word, '\0'))
    if (word.starts_with("-c") && !word.starts_with("-cc")) return true;
  return false;
}

}  // namespace

void QueueLogger::write(LogLevel level, std::string_view line) {
  const std::lock_guard guard(mutex_);
  if (lines_.size() >= most_lines) lines_.pop_front();
  static constexpr std::string_view prefix = "evercert: ";
  if (line.starts_with(prefix)) line.remove_prefix(prefix.size());
  lines_.push_back({level, std::string(prefix) + printable(line)});
}

std::optional<QueueLogger::Line> QueueLogger::next() {
  const std::lock_guard guard(mutex_);
  if (lines_.empty()) return std::nullopt;
  Line line = std::move(lines_.front());
  lines_.pop_front();
  return line;
}

// Never destroyed: HAProxy's last act is to run what exit() runs, while other threads may still be in here.
Bridge& Bridge::instance() {
  static auto* const bridge = new Bridge();
  return *bridge;
}

Result<Done> Bridge::check_settings(const std::string& configuration, const std::string& server) {
  Settings settings;
  if (auto read = read_settings_file(settings, configuration); !read) return read;
  const Place place{configuration, 0};
  const auto give = [&](std::string_view option, const std::string& word) {
    const std::array<std::string, 1> words{word};
    return word_of(settings.global, option) ? Result<Done>(Done{}) : set(settings.global, Scope::global, option, words, place);
  };
  Result<Done> given = give("server", server);
  if (given) given = give("program", default_program());
  if (given) given = give("proof_address", "0.0.0.0:" + std::to_string(port_in(settings.global, "tls_port", 443)));
  if (!given) return given;
  Checked checked = check(settings, files_);
  std::string refused;
  for (const Complaint& complaint : checked.complaints) {
    const std::string text = complaint.place.text() + ": " + complaint.message;
    const bool error = complaint.severity == Complaint::Severity::error;
    log_.write(error ? LogLevel::error : LogLevel::warn, text);
    if (error && refused.empty()) refused = text;
  }
  if (!checked.plan) return Error{ErrorKind::configuration, refused};
  if (checked.plan->certificates.empty())
    return Error{ErrorKind::configuration, configuration + ": names no certificate; write at least one into \"certificates\""};
  settings_ = std::move(settings);
  plan_ = std::move(checked.plan);
  return Done{};
}

Result<Done> Bridge::prepare(const std::string& configuration, const std::string& server) {
  if (prepared_) return Done{};
  if (auto checked = check_settings(configuration, server); !checked) return checked;
  const auto user = agent_user(*plan_);
  if (!user) return user.error();
  const bool test = is_a_test();
  if (const auto program = check_program(plan_->program); test && !program)
    return at_line_of(settings_.global, "program", program.error());
  const auto advice = [&](const std::string& own) { return state_path_advice(settings_, server, own); };
  if (const auto made = prepare_state_directories(plan_->state_path, user->uid, user->gid, advice); !made)
    return at_line_of(settings_.global, "state_path", made.error());
  if (const auto trouble = export_trouble(plan_->exports.path, user->uid, user->gid)) log_.write(LogLevel::warn, *trouble);
  auto keys = existing_seal_keys(plan_->state_path);
  if (!keys) return keys.error();
  // A start is told from a test later only, and must not fail for what only renewals need.
  if (const auto leader = examine_leader_file(plan_->state_path); !leader) log_.write(LogLevel::error, leader.error().message);
  pem_path_ = plan_->pem_path;
  std::optional<SealKey> serving;
  std::vector<StoredLine> stored;
  if (*keys) {
    serving = std::move((**keys).serving);
    // Whoever may write below state/ must not be able to keep HAProxy from starting.
    StoredLines lines = find_stored_lines(plan_->state_path, *serving, *plan_, settings_);
    if (!lines.trouble.empty()) log_.write(LogLevel::error, lines.trouble);
    stored = std::move(lines.lines);
  }
  const PemPurpose purpose = test ? PemPurpose::test : PemPurpose::start;
  auto written = write_pem_files(pem_path_, purpose, *plan_, serving, stored, log_);
  if (!written) return written.error();
  written_ = std::move(*written);
  prepared_ = true;
  return Done{};
}

Result<bool> Bridge::start() {
  if (!prepared_) return Error{ErrorKind::internal, "nothing was prepared"};
  if (std::exchange(started_, true)) return false;
  if (::geteuid() != 0)
    log_.write(LogLevel::notice, "HAProxy was not started by root: the keys in " + plan_->state_path +
                                     " are as safe as everything else of its user");
  const auto keys = seal_keys(plan_->state_path);
  if (!keys) return keys.error();
  auto shared = share(*keys);
  files_ = {};
  settings_ = {};
  if (!shared) return shared.error();
  return true;
}

Result<Done> Bridge::share(const SealKeys& keys) {
  auto instance = Instance::create();
  if (!instance) return instance.error();
  instance_ = std::move(*instance);
  instance_->id = instance_id(pem_path_);
  auto writable = Board::map(instance_->board.get(), Board::Access::write);
  if (!writable) return writable.error();
  auto board = Board::map(instance_->board_read_only.get(), Board::Access::read);
  if (!board) return board.error();
  auto report = ReportPage::map(instance_->report.get());
  if (!report) return report.error();
  for (const auto& [name, generation] : written_.generations) {
    const auto slot = writable->add(name);
    if (!slot) return slot.error();
    report->loaded(*slot, generation);
  }
  auto state = StateReader::open(plan_->state_path);
  if (!state) return state.error();
  auto ends = LinkEnds::create();
  if (!ends) return ends.error();
  instance_->link = std::move(ends->agent);
  auto leader = open_leader_file(plan_->state_path);
  // Nothing of ours is root once HAProxy has given that up.
  if (!leader) return Error{leader.error().kind, leader.error().message + "; mend that and reload HAProxy"};
  auto cycle = Cycle::create(settings_, keys, files_, std::move(*leader));
  if (!cycle) return cycle.error();
  const auto user = agent_user(*plan_);
  if (!user) return user.error();
  Supervisor::Program program{.path = plan_->program};
  if (::geteuid() == 0) {
    program.become = user->uid;
    program.become_group = user->gid;
  }
  if (auto hidden = hide(program, log_); !hidden) return hidden.error();
  auto keeper = start_keeper(program, *instance_, *cycle);
  if (!keeper) return keeper.error();
  instance_->board.reset();
  instance_->link.reset();
  board_.emplace(std::move(*board));
  report_.emplace(std::move(*report));
  state_.emplace(std::move(*state));
  link_.emplace(std::move(keeper->channel), std::move(ends->worker), log_);
  return Done{};
}

void Bridge::begin() {
  if (!link_) return;
  // This process holds the keys of all certificates, and the agent's user may be its own.
  if (auto safe = make_undumpable(); !safe) log_.write(LogLevel::error, safe.error().message);
  link_->go();
}

std::optional<LinkMessage> Bridge::receive() {
  if (!link_) return std::nullopt;
  link_->tend();
  auto message = link_->receive();
  if (message && message->generation != 0) add_other_files(*message);
  if (message) received_ = std::chrono::steady_clock::now();
  return message;
}

// HAProxy chooses among all files by the names in them, the one that was read or exchanged last comes last: what others have
// for the names of this certificate goes behind it, or gives way to it.
void Bridge::add_other_files(LinkMessage& message) {
  const std::vector<PemFile> own = message.files;
  if (own.empty()) return;
  for (auto& [certificate, others] : written_.behind)
    if (const auto found = others.find(message.certificate); found != others.end()) found->second = own;
  const auto ending = [](const std::string& name) { return name.substr(name.rfind('.')); };
  for (const std::string& name : written_.also[message.certificate]) {
    const auto same =
        std::find_if(own.begin(), own.end(), [&](const PemFile& file) { return ending(file.name) == ending(name); });
    message.files.push_back({name, (same == own.end() ? own.front() : *same).content});
  }
  if (const auto found = written_.behind.find(message.certificate); found != written_.behind.end())
    for (const auto& [other, files] : found->second) message.files.insert(message.files.end(), files.begin(), files.end());
}

double Bridge::since_received() const {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - received_).count();
}

double Bridge::swapped(const std::string& certificate, std::uint64_t generation) {
  if (!link_) return 0;
  if (const auto slot = board_->find(certificate)) report_->loaded(*slot, generation);
  link_->swapped(certificate, generation);
  return since_received();
}

double Bridge::refused(const std::string& certificate, std::uint64_t generation, std::string_view why) {
  if (!link_) return 0;
  link_->refused(certificate, generation, why);
  return since_received();
}

bool Bridge::ask_renewal(const std::string& certificate) {
  return link_ && link_->ask_renewal(certificate);
}

std::optional<std::string> Bridge::answer(std::string_view host, std::string_view path) {
  if (!board_) return std::nullopt;
  return answer_http_challenge(*board_, &*report_, instance_->wake.get(), host, path);
}

Result<std::optional<Bridge::OpenPage>> Bridge::open_status(std::string_view rest) {
  const auto form = status_form(rest);
  if (!form) return std::optional<OpenPage>();
  if (!state_) return Error{ErrorKind::internal, "there is no status: the agent was never started"};
  auto page = status_page(*state_, *form, std::chrono::system_clock::now());
  if (!page) return page.error();
  const std::uint64_t size = page->size();
  const std::lock_guard guard(pages_mutex_);
  // Each has a descriptor, of which HAProxy's own connections must not run short.
  if (pages_.size() >= most_pages) return Error{ErrorKind::internal, "too many people are being sent the status"};
  pages_.emplace(++last_page_, std::make_shared<const StatusPage>(std::move(*page)));
  return std::optional<OpenPage>({last_page_, content_type(*form), size});
}

Result<std::string> Bridge::read_status(std::int64_t number, std::uint64_t sent) const {
  std::shared_ptr<const StatusPage> page;
  {
    const std::lock_guard guard(pages_mutex_);
    if (const auto found = pages_.find(number); found != pages_.end()) page = found->second;
  }
  if (!page) return Error{ErrorKind::internal, "this page of the status is not open"};
  return read_page(*page, sent, portion);
}

void Bridge::close_status(std::int64_t number) {
  const std::lock_guard guard(pages_mutex_);
  pages_.erase(number);
}

}  // namespace evercert
