#include "agent/run/program.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "agent/challenge/http_responder.h"
#include "agent/deliver/exports.h"
#include "agent/deliver/worker_link.h"
#include "agent/run/agent.h"
#include "agent/run/inheritance.h"
#include "agent/run/service_manager.h"
#include "agent/store/file_store.h"
#include "evercert/descriptor.h"
#include "evercert/launch.h"
#include "evercert/lines.h"
#include "evercert/text.h"
#include "serving/base/bounds.h"
#include "serving/base/encoding.h"
#include "serving/config/environment.h"
#include "serving/platform/files.h"
#include "serving/platform/spawn.h"

namespace evercert {
namespace {

enum ProgramExit { program_done = 0, program_failed = 1, program_refused = 3 };

class ErrorStreamLogger : public Logger {
 public:
  void write(LogLevel level, std::string_view line) override {
    if (level == LogLevel::debug) return;
    const std::string text = std::string(words[static_cast<std::size_t>(level)]) + ": " + printable(line) + "\n";
    static_cast<void>(::write(STDERR_FILENO, text.data(), text.size()) == 0);
  }

 private:
  static constexpr const char* words[] = {"error", "warning", "notice", "info", "debug"};
};

int fail(Logger& log, const Error& error) {
  log.write(LogLevel::error, error.message);
  return error.kind == ErrorKind::configuration ? program_refused : program_failed;
}

struct Configured {
  std::shared_ptr<const Plan> plan;
  std::string settings;
};

enum class Warnings { tell, told_by_the_server };

Result<Configured> configure(const Settings& settings, FileSource& files, Warnings warnings, Logger& log) {
  auto checked = check(settings, files, warnings == Warnings::tell);
  for (const auto& complaint : checked.complaints) {
    const bool refused = complaint.severity == Complaint::Severity::error;
    if (!refused && warnings == Warnings::told_by_the_server) continue;
    log.write(refused ? LogLevel::error : LogLevel::warn, complaint.place.text() + ": " + complaint.message);
  }
  if (!checked.plan) return Error{ErrorKind::configuration, "the configuration is refused"};
  return Configured{std::make_shared<const Plan>(std::move(*checked.plan)), to_json(settings)};
}

// What an agent holds at its busiest, with connections to CAs and a hundred to its control socket, is some three hundred; it
// works, with fewer at a time, as long as it has a few dozen.
void take_all_descriptors(Logger& log) {
  constexpr rlim_t enough = 4096;
  constexpr rlim_t needed = 64;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = std::max(limit.rlim_cur, std::min(limit.rlim_max, enough));
  static_cast<void>(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  if (limit.rlim_max >= needed) return;
  log.write(LogLevel::error, "the agent may open only " + std::to_string(limit.rlim_max) + " files and connections and needs " +
                                 std::to_string(needed) +
                                 ": raise the limit of the server (ulimit -n, LimitNOFILE in a systemd "
                                 "unit)");
}

// The loop and everything under it, from what has been gathered.
struct Gathered {
  Configured configured;
  std::map<std::string, Secret> files;
  SealKeys keys;
  std::string instance;
  std::string state_path;
  int leader_file = -1;
  int link = -1;  // to a worker that cannot read bundles
};

// The same process with the server's new configuration, which it is given once it is ready, and perhaps a newer program. Steps
// that still run end here as with kill -9: their records are on disk.
int become_successor(const std::string& program, const Descriptor& image, int channel, Logger& log) {
  std::string words[] = {"evercert", "run", "--descriptor", std::to_string(channel)};
  char* const arguments[] = {words[0].data(), words[1].data(), words[2].data(), words[3].data(), nullptr};
  char* const environment[] = {nullptr};
  if (fcntl(channel, F_SETFD, 0) == 0) {
    if (image.valid())
      syscall(SYS_execveat, image.get(), "", arguments, environment, AT_EMPTY_PATH);
    else
      execve(program.c_str(), arguments, environment);
  }
  log.write(LogLevel::error, why_not_started(image.valid() ? failed_step_copy : failed_step_execute, errno, program));
  std::_Exit(program_failed);
}

int work(Gathered gathered, Board& board, ReportPage& report, const Agent::Descriptors& descriptors, Logger& log) {
  take_all_descriptors(log);
  const SystemClock clock;
  const std::string path = gathered.state_path + "/state";
  const Descriptor state(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!state.valid()) return fail(log, system_error(ErrorKind::storage, "cannot open the state directory " + path, errno));
  FileStoreOptions options;
  if (struct stat seen{}; fstat(state.get(), &seen) == 0) options.group = seen.st_gid;
  auto store = make_file_store(Descriptor(fcntl(state.get(), F_DUPFD_CLOEXEC, 3)), gathered.leader_file, options);
  Events events;
  events.speak_to(gathered.configured.plan->server);
  PollLoop loop;
  ReachedNumbers reached(gathered.leader_file);
  AgentContext context{gathered.instance,
                       gathered.state_path,
                       state.get(),
                       gathered.leader_file,
                       reached,
                       gathered.configured.plan,
                       gathered.configured.settings,
                       std::move(gathered.files),
                       std::move(gathered.keys),
                       clock.now(),
                       clock,
                       log,
                       events,
                       *store,
                       board,
                       report,
                       loop,
                       {},
                       nullptr,
                       {}};
  std::optional<WorkerLink> link;
  if (gathered.link >= 0) {
    link.emplace(loop, gathered.link, context.plan, board, report, log);
    context.outlet = &*link;
  }
  const auto post = [&loop](std::function<void()> action) { loop.post(std::move(action)); };
  std::optional<Exports> exports;
  std::optional<Hook> hook;
  if (!context.plan->exports.path.empty()) exports.emplace(context.plan, *store, context.keys.serving, clock, post, log);
  if (!context.plan->exports.hook.empty()) hook.emplace(context.plan, *store, post, log);
  context.delivery = {context.plan, exports ? &*exports : nullptr, hook ? &*hook : nullptr, context.plan->server.empty()};
  Agent agent(context, descriptors);
  if (link) link->on_renew([&agent](const std::string& certificate) { return agent.renew(certificate); });
  auto ended = agent.run();
  if (!ended) return fail(log, ended.error());
  if (!agent.successor().empty()) return become_successor(agent.successor(), agent.successor_image(), descriptors.channel, log);
  // A request to a CA is still under way: its record is on disk, and nobody waits for us.
  if (!*ended) std::_Exit(program_done);
  return program_done;
}

int run_under_server(int channel) {
  auto inherited = receive_inheritance(channel);
  if (!inherited) {
    ErrorStreamLogger log;
    return inherited.error().kind == ErrorKind::connection ? program_done : fail(log, inherited.error());
  }
  ChannelLogger log(inherited->channel.get());
  auto secrets = read_secrets(inherited->secrets.get());
  if (!secrets) return fail(log, secrets.error());
  auto text = read_memory_file(inherited->plan.get());
  if (!text) return fail(log, text.error());
  Settings settings;
  if (auto read = read_settings_text(settings, text->text(), "the configuration of the server"); !read) {
    return fail(log, read.error());
  }
  CarriedFiles files(secrets->files);
  auto configured = configure(settings, files, Warnings::told_by_the_server, log);
  if (!configured) return fail(log, configured.error());
  auto board = Board::map(inherited->board.get(), Board::Access::write);
  if (!board) return fail(log, board.error());
  auto report = ReportPage::map(inherited->report.get());
  if (!report) return fail(log, report.error());
  const std::string state_path = configured->plan->state_path;
  Gathered gathered{
      std::move(configured).value(), std::move(secrets->files), std::move(secrets->keys), inherited->instance, state_path,
      inherited->leader.get(),       inherited->link.get()};
  return work(std::move(gathered), *board, *report, {inherited->channel.get(), inherited->wake.get(), -1}, log);
}

// --- without a server ---

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name;
};

Result<User> user_of(const Plan& plan) {
  if (geteuid() != 0) return User{geteuid(), getegid(), ""};
  const std::string name = plan.agent_user.empty() ? "www-data" : plan.agent_user;
  const passwd* entry = getpwnam(name.c_str());
  if (entry == nullptr) {
    return Error{ErrorKind::configuration, "the user \"" + name + "\" does not exist; name another with agent_user"};
  }
  return User{entry->pw_uid, entry->pw_gid, name};
}

Result<Done> become(const User& user) {
  if (geteuid() != 0) return Done{};
  if (initgroups(user.name.c_str(), user.gid) != 0 || setgid(user.gid) != 0 || setuid(user.uid) != 0) {
    return system_error(ErrorKind::internal, "cannot become the user " + user.name, errno);
  }
  return Done{};
}

// As a server's starter does before it forks: what is stored keeps its names.
void find_stored_lines(Configured& configured, Settings& settings, const std::string& state_path, const SealKey& serving,
                       Logger& log) {
  Plan plan = *configured.plan;
  const StoredLines stored = find_stored_lines(state_path, serving, plan, settings);
  if (!stored.trouble.empty()) log.write(LogLevel::error, stored.trouble);
  configured = {std::make_shared<const Plan>(std::move(plan)), to_json(settings)};
}

std::pair<std::vector<std::string>, std::uint16_t> responder_addresses(const Plan& plan) {
  if (plan.http_listen.empty()) return {{"0.0.0.0", "::"}, plan.http_port};
  const auto colon = plan.http_listen.rfind(':');
  std::string address = plan.http_listen.substr(0, colon);
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  const auto port = whole_number_in(std::string_view(plan.http_listen).substr(colon + 1), 1, 65535);
  return {{address}, static_cast<std::uint16_t>(port.value_or(plan.http_port))};
}

int run_alone(const RunOptions& options) {
  ErrorStreamLogger log;
  const ServiceManager manager(environment_notify_socket());
  Settings settings;
  if (auto read = read_settings_file(settings, options.config_file); !read)
    return fail(log, {ErrorKind::configuration, read.error().message});
  DiskFiles files;
  auto configured = configure(settings, files, Warnings::tell, log);
  if (!configured) return fail(log, configured.error());
  const std::shared_ptr<const Plan> as_written = configured->plan;
  const Plan& plan = *as_written;
  const std::string state_path = options.state_path.empty() ? plan.state_path : options.state_path;
  auto user = user_of(plan);
  if (!user) return fail(log, user.error());
  const auto advice = [&](const std::string& own) {
    return options.state_path.empty() ? state_path_advice(settings, "", own) : "name it with --state " + own;
  };
  if (auto prepared = prepare_state_directories(state_path, user->uid, user->gid, advice); !prepared)
    return fail(log, prepared.error());
  auto keys = seal_keys(state_path);
  if (!keys) return fail(log, keys.error());
  auto leader = open_leader_file(state_path);
  if (!leader) return fail(log, leader.error());
  find_stored_lines(*configured, settings, state_path, keys->serving, log);
  if (const auto trouble = export_trouble(plan.exports.path, user->uid, user->gid)) log.write(LogLevel::warn, *trouble);

  auto board_file = Board::create();
  auto report_file = ReportPage::create();
  if (!board_file || !report_file) return fail(log, board_file ? report_file.error() : board_file.error());
  auto board = Board::map(board_file->get(), Board::Access::write);
  auto report = ReportPage::map(report_file->get());
  if (!board || !report) return fail(log, board ? report.error() : board.error());
  const Descriptor wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));

  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  const Descriptor signals(signalfd(-1, &ends, SFD_CLOEXEC));

  const auto listen = responder_addresses(plan);
  // Before becoming the user: low ports are root's. Its thread begins here, so the user changes for all threads (setuid(2)).
  auto responder = HttpResponder::start(listen.first, listen.second, [&](std::string_view host, std::string_view path) {
    return answer_http_challenge(*board, &*report, wake.get(), host, path);
  });
  if (!responder) return fail(log, responder.error());
  if (auto became = become(*user); !became) return fail(log, became.error());
  if (auto protected_now = make_undumpable(); !protected_now) return fail(log, protected_now.error());
  if (user->name.empty()) {
    log.write(LogLevel::notice, "without root, keys are as safe as this user: " + state_path + " belongs to it");
  }
  Gathered gathered{std::move(configured).value(), files.carried(), std::move(keys).value(),
                    to_hex(random_bytes(16)),      state_path,      leader->get()};
  return work(std::move(gathered), *board, *report, {-1, wake.get(), signals.get(), &manager}, log);
}

}  // namespace

int run_program(const RunOptions& options) {
  static_cast<void>(signal(SIGPIPE, SIG_IGN));
  return at_boundary(
      static_cast<int>(program_failed),
      [&] { return options.descriptor >= 0 ? run_under_server(options.descriptor) : run_alone(options); },
      [](const std::string& reason) {
        const std::string line = "the agent failed: " + reason + "\n";
        static_cast<void>(::write(STDERR_FILENO, line.data(), line.size()) == 0);
      });
}

}  // namespace evercert
