#include "agent/deliver/hook.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <utility>

#include "evercert/descriptor.h"
#include "serving/base/encoding.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

constexpr std::chrono::seconds hook_patience{60};
// Those that come together are told together.
constexpr std::chrono::milliseconds settling{100};
// Of the first pause: with a minute that is 10 minutes, an hour, 6 hours, a day.
constexpr unsigned pause_factors[] = {1, 10, 60, 360, 1440};
// Of names in one run: an environment has little room.
constexpr std::size_t most_text = std::size_t{48} << 10;

std::string id_of(const ExportSpec& exports) {
  std::string text = exports.path + '\0';
  for (const auto& word : exports.hook) text += word + '\0';
  return to_hex(sha256({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()})).substr(0, 16);
}

Result<pid_t> spawn(const std::vector<std::string>& command, const std::vector<std::string>& variables) {
  const auto pointers = [](const std::vector<std::string>& words) {
    std::vector<char*> list;
    list.reserve(words.size() + 1);
    for (const auto& word : words) list.push_back(const_cast<char*>(word.c_str()));
    list.push_back(nullptr);
    return list;
  };
  const auto arguments = pointers(command);
  std::vector<std::string> all{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  all.insert(all.end(), variables.begin(), variables.end());
  const auto environment = pointers(all);
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&attributes);
  for (const int number : {0, 1, 2}) posix_spawn_file_actions_addopen(&files, number, "/dev/null", O_RDWR, 0);
  // Libraries of ours may have opened something that an execution does not close.
  posix_spawn_file_actions_addclosefrom_np(&files, 3);
  sigset_t none;
  sigset_t all_signals;
  sigemptyset(&none);
  sigfillset(&all_signals);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all_signals);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  pid_t pid = -1;
  const int code = ::posix_spawn(&pid, command.front().c_str(), &files, &attributes, arguments.data(), environment.data());
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (code != 0) return system_error(ErrorKind::internal, "the hook " + command.front() + " cannot be run", code);
  return pid;
}

}  // namespace

Result<Done> run_hook(const std::vector<std::string>& command, const std::vector<std::string>& variables,
                      std::chrono::seconds patience, const std::stop_token& stop) {
  const Descriptor bell(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const std::stop_callback ring(stop, [&bell] { ::eventfd_write(bell.get(), 1); });
  auto pid = spawn(command, variables);
  if (!pid) return pid.error();
  const std::string what = "the hook " + command.front();
  const Descriptor process(static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0U)));
  const auto end = std::chrono::steady_clock::now() + patience;
  bool ended = false;
  while (process.valid() && !ended) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
    if (left <= 0) break;
    std::array<pollfd, 2> watched{pollfd{process.get(), POLLIN, 0}, pollfd{bell.get(), POLLIN, 0}};
    if (::poll(watched.data(), watched.size(), static_cast<int>(left)) < 0 && errno != EINTR) break;
    ended = watched[0].revents != 0;
    if (!ended && watched[1].revents != 0) return Error{ErrorKind::connection, what + " still runs while the agent ends"};
  }
  if (!ended) ::kill(-*pid, SIGKILL);
  int status = 0;
  while (::waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!ended)
    return Error{ErrorKind::internal, what + " was ended: it took longer than " + std::to_string(patience.count()) + " s"};
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return Done{};
  return Error{ErrorKind::internal, what + (WIFEXITED(status) ? " ended with exit code " + std::to_string(WEXITSTATUS(status))
                                                              : " ended by signal " + std::to_string(WTERMSIG(status)))};
}

Hook::Hook(std::shared_ptr<const Plan> plan, Store& store, std::function<void(std::function<void()>)> post, Logger& log,
           std::chrono::milliseconds first_pause)
    : plan_(std::move(plan)),
      store_(store),
      post_(std::move(post)),
      log_(log),
      first_pause_(first_pause),
      id_(id_of(plan_->exports)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

void Hook::give(const CertificateSpec& certificate, std::uint64_t generation, Outlet::Outcome outcome) {
  if (plan_->certificate(certificate.name) == nullptr) return;
  jobs_.change(certificate.name, [&](Job& job) {
    if (job.generation > generation) return;
    const bool same = job.generation == generation;
    job.outcome = std::move(outcome);
    // One that failed waits for its next try, however often it is given.
    if (same) return;
    job.identifiers = certificate.identifiers;
    job.generation = generation;
    job.failures = 0;
    job.due = std::chrono::steady_clock::now() + settling;
  });
}

void Hook::run(const std::stop_token& stop) {
  for (Jobs jobs = jobs_.next(stop); !stop.stop_requested(); jobs = jobs_.next(stop)) {
    Jobs batch;
    std::size_t size = 0;
    for (auto& [name, job] : jobs) {
      if (knows(name, job.generation)) {
        finish(job, Done{});
        continue;
      }
      std::size_t more = name.size() + 1;
      for (const auto& identifier : job.identifiers) more += identifier.value.size() + 1;
      if (!batch.empty() && size + more > most_text) run_for(std::exchange(batch, {}), stop);
      size = batch.empty() ? more : size + more;
      batch.emplace(name, std::move(job));
    }
    if (!batch.empty()) run_for(std::move(batch), stop);
  }
}

void Hook::run_for(Jobs batch, const std::stop_token& stop) {
  if (stop.stop_requested()) return;
  std::string certificates;
  std::string names;
  const auto add = [](std::string& list, const std::string& word) { list += (list.empty() ? "" : " ") + word; };
  for (const auto& [name, job] : batch) {
    add(certificates, name);
    for (const auto& identifier : job.identifiers) add(names, identifier.value);
  }
  std::vector<std::string> variables{"EVERCERT_CERTIFICATES=" + certificates, "EVERCERT_NAMES=" + names};
  if (!plan_->exports.path.empty()) variables.push_back("EVERCERT_EXPORT_PATH=" + plan_->exports.path);
  const auto done = run_hook(plan_->exports.hook, variables, hook_patience, stop);
  // The next agent runs it again: nobody knows what came of it.
  if (stop.stop_requested()) return;
  for (auto& [name, job] : batch) {
    if (!done) {
      again(name, std::move(job), done.error());
      continue;
    }
    remember(name, job.generation);
    finish(job, Done{});
  }
}

void Hook::again(const std::string& name, Job job, const Error& why) {
  const auto pause = first_pause_ * pause_factors[std::min<std::size_t>(job.failures, std::size(pause_factors) - 1)];
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(pause).count();
  log_.write(LogLevel::error, why.message + "; run again in " + std::to_string(seconds) + " s certificate=\"" + name + "\"");
  finish(job, why);
  ++job.failures;
  job.due = std::chrono::steady_clock::now() + pause;
  jobs_.put_back(name, std::move(job), [](const Job&, const Job&) {});
}

void Hook::finish(const Job& job, const Result<Done>& result) {
  post_([outcome = job.outcome, result] { outcome(result); });
}

std::string Hook::record_of(const std::string& certificate) const {
  return "hooks/" + id_ + "/" + file_name_of(certificate);
}

bool Hook::knows(const std::string& certificate, std::uint64_t generation) {
  const auto record = store_.get(record_of(certificate));
  if (!record || !*record) return false;
  const Bytes& text = (*record)->value;
  std::uint64_t told = 0;
  const char* const begin = reinterpret_cast<const char*>(text.data());
  std::from_chars(begin, begin + text.size(), told);
  return told >= generation;
}

void Hook::remember(const std::string& certificate, std::uint64_t generation) {
  const std::string text = std::to_string(generation) + "\n";
  Store::PutOptions options;
  options.durability = Durability::process;
  if (auto put = store_.put(record_of(certificate), {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, options);
      !put)
    log_.write(LogLevel::error, "the hook will be run again after a restart: " + put.error().message);
}

}  // namespace evercert
