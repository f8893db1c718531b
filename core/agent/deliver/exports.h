// Certificates for software that reads PEM files: one file per certificate, written whole or not at all; then HAProxy's stats
// socket, or a reload by its master, as configured. Strictly one after the other, on a thread of its own; what fails is tried
// again with growing pauses until it is done or a newer generation comes.
// Rule: every generation is proved again (names, dates, key) before anybody else sees it. A file that is not ours is never
// replaced.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agent/deliver/due_jobs.h"
#include "agent/deliver/exported_files.h"
#include "agent/deliver/outlet.h"
#include "evercert/log.h"
#include "evercert/pem.h"
#include "serving/base/clock.h"

namespace evercert {

class Exports : public Outlet {
 public:
  // Only certificates of `plan` are exported: on a shared state directory there are others. `post`: runs something on the
  // agent's main thread.
  Exports(std::shared_ptr<const Plan> plan, Store& store, const SealKey& serving, const Clock& clock,
          std::function<void(std::function<void()>)> post, Logger& log);

  void give(const CertificateSpec& certificate, const Bundle& bundle, Outcome outcome) override;

 private:
  struct Job {
    CertificateSpec certificate;
    Bundle bundle;
    Outcome outcome;
    std::chrono::steady_clock::time_point due;
    unsigned failures = 0;
    std::string said;  // why it failed last, and
    std::chrono::steady_clock::time_point said_at;
    bool changed = false;  // there is something new that a master has not been told
  };
  using Jobs = DueJobs<Job>::Jobs;
  void run(const std::stop_token& stop);
  Result<Done> check(const Job& job) const;
  Result<Done> export_one(Job& job);
  Result<Done> write(int directory, std::optional<std::uint32_t> group, const PemFile& file, Job& job);
  void tell_master(Jobs&& told);
  void again(Job job, const Error& why);
  void finish(const Outcome& outcome, const Result<Done>& result);

  const std::shared_ptr<const Plan> plan_;
  const ExportSpec& wanted_;
  const Clock& clock_;
  const std::function<void(std::function<void()>)> post_;
  Logger& log_;
  ExportedFiles files_;
  DueJobs<Job> jobs_;
  std::jthread thread_;
};

}  // namespace evercert
