// Certificates for software that reads PEM files: one file per certificate, written whole or not at all; then HAProxy's stats
// socket, a reload by its master, or a hook, as configured. Strictly one after the other, on a thread of its own.
// Rule: every generation is proved again (names, dates, key) before anybody else sees it.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/deliver/outlet.h"
#include "evercert/log.h"
#include "serving/base/clock.h"

namespace evercert {

class Exports : public Outlet {
 public:
  // `post`: runs something on the agent's main thread.
  Exports(const ExportSpec& wanted, const Clock& clock, std::function<void(std::function<void()>)> post, Logger& log);
  ~Exports() override;

  void give(const CertificateSpec& certificate, const Bundle& bundle, Outcome outcome) override;

 private:
  struct Job {
    CertificateSpec certificate;
    Bundle bundle;
    std::vector<Outcome> outcomes;
  };
  void run(const std::stop_token& stop);
  // False: it was there already.
  Result<bool> export_one(const Job& job);
  Result<Done> tell_others(const std::vector<std::string>& names);
  void finish(std::vector<Outcome> outcomes, const Result<Done>& result);

  const ExportSpec wanted_;
  const Clock& clock_;
  const std::function<void(std::function<void()>)> post_;
  Logger& log_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, Job> jobs_;
  std::jthread thread_;
};

}  // namespace evercert
