#include "agent/deliver/exports.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "agent/deliver/hook.h"
#include "agent/deliver/runtime_api.h"
#include "serving/base/files.h"
#include "serving/publish/pem.h"

namespace evercert {
namespace {

constexpr std::size_t largest_pem = std::size_t{1} << 20;
constexpr std::chrono::seconds hook_patience{60};

}  // namespace

Exports::Exports(const ExportSpec& wanted, const Clock& clock, std::function<void(std::function<void()>)> post, Logger& log)
    : wanted_(wanted), clock_(clock), post_(std::move(post)), log_(log), thread_([this](const std::stop_token& stop) {
        run(stop);
      }) {}

Exports::~Exports() {
  thread_.request_stop();
  changed_.notify_all();
}

void Exports::give(const CertificateSpec& certificate, const Bundle& bundle, Outcome outcome) {
  const std::lock_guard lock(mutex_);
  Job& job = jobs_[certificate.name];
  if (job.bundle.generation <= bundle.generation) {
    job.certificate = certificate;
    job.bundle = bundle;
  }
  job.outcomes.push_back(std::move(outcome));
  changed_.notify_all();
}

void Exports::run(const std::stop_token& stop) {
  for (;;) {
    std::map<std::string, Job> jobs;
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait(lock, stop, [this] { return !jobs_.empty(); })) return;
      jobs.swap(jobs_);
    }
    std::vector<std::string> names;
    std::vector<Outcome> waiting;
    for (auto& [name, job] : jobs) {
      const auto exported = export_one(job);
      if (!exported) {
        log_.write(LogLevel::error, exported.error().message + " certificate=\"" + name + "\"");
        finish(std::move(job.outcomes), exported.error());
      } else if (*exported) {
        names.push_back(name);
        waiting.insert(waiting.end(), job.outcomes.begin(), job.outcomes.end());
      } else {
        finish(std::move(job.outcomes), Done{});
      }
    }
    if (names.empty()) continue;
    const auto told = tell_others(names);
    if (!told) log_.write(LogLevel::error, told.error().message);
    finish(std::move(waiting), told);
  }
}

Result<bool> Exports::export_one(const Job& job) {
  if (auto sound = verify_bundle(job.bundle, clock_.now()); !sound) return sound.error().with_prefix("it is not exported");
  for (const BundlePair& pair : job.bundle.pairs) {
    const auto facts = leaf_facts(pair.leaf);
    if (!facts || facts->not_after <= clock_.now())
      return Error{ErrorKind::storage, "it is not exported: the certificate has expired"};
  }
  const std::string what = "the directory " + wanted_.path + " (option export_path)";
  const Descriptor directory(::open(wanted_.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat facts {};
  if (!directory.valid() || ::fstat(directory.get(), &facts) != 0)
    return system_error(ErrorKind::storage, what + " cannot be used", errno);
  auto files = pem_files_of(job.certificate, job.bundle);
  if (!files) return files.error();
  bool changed = false;
  for (const PemFile& file : *files) {
    const auto present = read_file(directory.get(), file.name, largest_pem);
    const BytesView wanted = file.content.view();
    if (present && *present && std::equal(wanted.begin(), wanted.end(), (*present)->begin(), (*present)->end())) continue;
    WriteOptions options;
    options.group = facts.st_gid;
    if (auto written = write_file(directory.get(), file.name, wanted, options); !written)
      return written.error().with_prefix(what);
    changed = true;
    if (wanted_.runtime_api.empty()) continue;
    // The file is right already, so whatever happens now the next start serves it.
    if (auto done = exchange_certificate(wanted_.runtime_api, wanted_.path + "/" + file.name, file.content); !done)
      return done.error();
  }
  return changed;
}

Result<Done> Exports::tell_others(const std::vector<std::string>& names) {
  if (!wanted_.master_cli.empty())
    if (auto done = reload_by_master(wanted_.master_cli); !done) return done;
  return wanted_.hook.empty() ? Result<Done>(Done{}) : run_hook(wanted_.hook, names, hook_patience);
}

void Exports::finish(std::vector<Outcome> outcomes, const Result<Done>& result) {
  post_([outcomes = std::move(outcomes), result] {
    for (const Outcome& outcome : outcomes) outcome(result);
  });
}

}  // namespace evercert
