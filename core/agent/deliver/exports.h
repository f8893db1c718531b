// Certificates for software that reads PEM files: one file per certificate, written whole or not at all; then HAProxy's stats
// socket, or a reload by its master, as configured. Strictly one after the other, on a thread of its own; what fails is tried
// again with growing pauses until it is done or a newer generation comes.
// Rule: every generation is proved again (names, dates, key) before anybody else sees it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agent/deliver/due_jobs.h"
#include "agent/deliver/outlet.h"
#include "evercert/log.h"
#include "serving/base/clock.h"

namespace evercert {

class Exports : public Outlet {
 public:
  // Only certificates of `plan` are exported: on a shared state directory there are others. `post`: runs something on the
  // agent's main thread.
  Exports(std::shared_ptr<const Plan> plan, const Clock& clock, std::function<void(std::function<void()>)> post, Logger& log);

  void give(const CertificateSpec& certificate, const Bundle& bundle, Outcome outcome) override;

 private:
  struct Job {
    CertificateSpec certificate;
    Bundle bundle;
    Outcome outcome;
    std::chrono::steady_clock::time_point due;
    unsigned failures = 0;
    bool changed = false;  // there is something new that a master has not been told
  };
  using Jobs = DueJobs<Job>::Jobs;
  void run(const std::stop_token& stop);
  Result<Done> check(const Job& job) const;
  Result<Done> export_one(Job& job);
  void tell_master(Jobs&& told);
  void again(Job job, const Error& why);
  void finish(const Outcome& outcome, const Result<Done>& result);

  const std::shared_ptr<const Plan> plan_;
  const ExportSpec& wanted_;
  const Clock& clock_;
  const std::function<void(std::function<void()>)> post_;
  Logger& log_;
  DueJobs<Job> jobs_;
  std::jthread thread_;
};

}  // namespace evercert
