#include "agent/deliver/exports.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "agent/deliver/runtime_api.h"
#include "evercert/descriptor.h"
#include "serving/certificate/pem.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

// A HAProxy that restarts is back within the first; somebody else's transaction ends within the second.
constexpr std::chrono::milliseconds pauses[] = {std::chrono::milliseconds(500), std::chrono::milliseconds(2000),
                                                std::chrono::milliseconds(10000), std::chrono::milliseconds(60000),
                                                std::chrono::milliseconds(300000)};
constexpr std::chrono::hours told_again_after{24};

// A directory whose group is not ours keeps what we write for ourselves, unless it gives its group by itself (setgid).
bool may_give_to(const struct stat& directory) {
  if (::geteuid() == 0 || directory.st_gid == ::getegid() || (directory.st_mode & S_ISGID) != 0) return true;
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
  const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  groups.resize(static_cast<std::size_t>(std::max(count, 0)));
  return std::find(groups.begin(), groups.end(), directory.st_gid) != groups.end();
}

}  // namespace

Exports::Exports(std::shared_ptr<const Plan> plan, Store& store, const SealKey& serving, const Clock& clock,
                 std::function<void(std::function<void()>)> post, Logger& log)
    : plan_(std::move(plan)),
      wanted_(plan_->exports),
      clock_(clock),
      post_(std::move(post)),
      log_(log),
      files_(store, serving, wanted_.path),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

void Exports::give(const CertificateSpec& certificate, const Bundle& bundle, Outcome outcome) {
  if (plan_->certificate(certificate.name) == nullptr) return finish(outcome, Done{});
  jobs_.change(certificate.name, [&](Job& job) {
    if (job.bundle.generation > bundle.generation) return;
    job.certificate = certificate;
    job.bundle = bundle;
    job.due = {};
    job.failures = 0;
    job.said.clear();
    job.outcome = std::move(outcome);
  });
}

void Exports::run(const std::stop_token& stop) {
  for (Jobs jobs = jobs_.next(stop); !stop.stop_requested(); jobs = jobs_.next(stop)) {
    Jobs told;
    for (auto& [name, job] : jobs) {
      if (auto sound = check(job); !sound) {
        log_.write(LogLevel::error, sound.error().message + " certificate=\"" + name + "\"");
        finish(job.outcome, sound.error());
        continue;
      }
      if (auto exported = export_one(job); !exported)
        again(std::move(job), exported.error());
      else if (job.changed)
        told.emplace(name, std::move(job));
      else
        finish(job.outcome, Done{});
    }
    if (!told.empty()) tell_master(std::move(told));
  }
}

Result<Done> Exports::check(const Job& job) const {
  if (auto sound = verify_bundle(job.bundle, clock_.now()); !sound) return sound.error().with_prefix("it is not exported");
  for (const BundlePair& pair : job.bundle.pairs) {
    const auto facts = leaf_facts(pair.leaf);
    if (!facts || facts->not_after <= clock_.now())
      return Error{ErrorKind::storage, "it is not exported: the certificate has expired"};
  }
  return Done{};
}

Result<Done> Exports::export_one(Job& job) {
  const std::string what = "the directory " + wanted_.path + " (option export_path)";
  const Descriptor directory(::open(wanted_.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat facts {};
  if (!directory.valid() || ::fstat(directory.get(), &facts) != 0)
    return system_error(ErrorKind::storage, what + " cannot be used", errno);
  auto files = pem_files_of(job.certificate, job.bundle);
  if (!files) return files.error();
  const auto group = may_give_to(facts) ? std::optional<std::uint32_t>(facts.st_gid) : std::nullopt;
  std::optional<Error> failed;
  // One that is left alone keeps no other from its readers.
  for (const PemFile& file : *files)
    if (auto written = write(directory.get(), group, file, job); !written && !failed) failed = written.error();
  if (failed) return *failed;
  if (wanted_.runtime_api.empty()) return Done{};
  // The files are right already, so whatever happens now the next start serves them.
  for (const BundlePair& pair : job.bundle.pairs) {
    const std::string name = pem_file_name(job.certificate, pair.key.algorithm);
    for (const PemFile& file : *files) {
      if (file.name != name) continue;
      const RuntimeFile loaded{wanted_.path, name, pair.leaf, file.content};
      if (auto done = bring_to_haproxy(wanted_.runtime_api, loaded); !done) return done;
    }
  }
  return Done{};
}

Result<Done> Exports::write(int directory, std::optional<std::uint32_t> group, const PemFile& file, Job& job) {
  auto read = read_file(directory, file.name, largest_pem);
  const Secret present(read && *read ? std::move(**read) : Bytes());
  const bool ours = read && (!*read || files_.is_ours(file.name, present, job.bundle));
  if (!ours) {
    return Error{ErrorKind::storage, wanted_.path + "/" + file.name + " was not written by evercert and stays as it is (" +
                                         wanted_.written +
                                         "); move it away, and the export follows within five minutes, at once after a reload"};
  }
  files_.remember(file.name, file.content);
  if (*read && present.text() == file.content.text()) return Done{};
  WriteOptions options;
  options.group = group;
  if (auto written = write_file(directory, file.name, file.content.view(), options); !written)
    return written.error().with_prefix("the directory " + wanted_.path + " (option export_path)");
  job.changed = true;
  return Done{};
}

void Exports::tell_master(Jobs&& told) {
  const auto done = wanted_.master_cli.empty() ? Result<Done>(Done{}) : reload_by_master(wanted_.master_cli);
  for (auto& [name, job] : told) {
    if (done)
      finish(job.outcome, done);
    else
      again(std::move(job), done.error());
  }
}

void Exports::again(Job job, const Error& why) {
  const std::string name = job.certificate.name;
  const auto pause = pauses[std::min<std::size_t>(job.failures, std::size(pauses) - 1)];
  const auto now = std::chrono::steady_clock::now();
  // What does not change for days is told once a day.
  if (job.failures < std::size(pauses) || job.said != why.message || now - job.said_at >= told_again_after) {
    log_.write(LogLevel::error,
               why.message + "; tried again in " + std::to_string(pause.count()) + " ms certificate=\"" + name + "\"");
    job.said = why.message;
    job.said_at = now;
  }
  finish(job.outcome, why);
  ++job.failures;
  job.due = std::chrono::steady_clock::now() + pause;
  // Of a newer generation that has come meanwhile the master is told, and of this.
  jobs_.put_back(name, std::move(job), [](Job& newer, const Job& older) { newer.changed = newer.changed || older.changed; });
}

void Exports::finish(const Outcome& outcome, const Result<Done>& result) {
  post_([outcome, result] { outcome(result); });
}

}  // namespace evercert
