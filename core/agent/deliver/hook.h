// The operator's own command, run once a generation is where it belongs: under a server of ours after the proof, without one
// after the export, before the proof (it may be what makes other software take the files). Rule: at least once for each
// generation and until it ends with 0: whom it has told is on disk, so that neither a restart nor a kill makes it forget or
// repeat itself. It holds up nobody: one thread of its own, and each run has an end.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "agent/deliver/due_jobs.h"
#include "agent/deliver/outlet.h"
#include "agent/store/store.h"
#include "evercert/log.h"

namespace evercert {

// No shell; the environment is PATH and `variables`, each "NAME=value". Its output goes nowhere. One that takes longer than
// `patience` is killed; one that still runs when `stop` is requested is left to itself. Errors: internal (it could not be run,
// or ended otherwise than with 0), connection (left to itself).
Result<Done> run_hook(const std::vector<std::string>& command, const std::vector<std::string>& variables,
                      std::chrono::seconds patience, const std::stop_token& stop);

class Hook {
 public:
  // Only certificates of `plan` are told. `post`: runs something on the agent's main thread. `first_pause`: after the first
  // failure; the others follow from it.
  Hook(std::shared_ptr<const Plan> plan, Store& store, std::function<void(std::function<void()>)> post, Logger& log,
       std::chrono::milliseconds first_pause = std::chrono::minutes(1));

  // Returns at once; from any thread. The outcome is told on the main thread, once for each try, the last of which is Done.
  void give(const CertificateSpec& certificate, std::uint64_t generation, Outlet::Outcome outcome);

 private:
  struct Job {
    std::vector<Identifier> identifiers;
    std::uint64_t generation = 0;
    Outlet::Outcome outcome;
    std::chrono::steady_clock::time_point due;
    unsigned failures = 0;
  };
  using Jobs = DueJobs<Job>::Jobs;
  void run(const std::stop_token& stop);
  void run_for(Jobs batch, const std::stop_token& stop);
  void again(const std::string& name, Job job, const Error& why);
  void finish(const Job& job, const Result<Done>& result);
  [[nodiscard]] std::string record_of(const std::string& certificate) const;
  [[nodiscard]] bool knows(const std::string& certificate, std::uint64_t generation);
  void remember(const std::string& certificate, std::uint64_t generation);

  const std::shared_ptr<const Plan> plan_;
  Store& store_;
  const std::function<void(std::function<void()>)> post_;
  Logger& log_;
  const std::chrono::milliseconds first_pause_;
  const std::string id_;  // of the command and where it finds files: another one has been told nothing yet
  DueJobs<Job> jobs_;
  std::jthread thread_;
};

}  // namespace evercert
