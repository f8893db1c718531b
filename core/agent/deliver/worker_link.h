// The agent's side of an AgentLink: certificates go to the server's worker as PEM, a few at a time, and come back as "swapped"
// or "refused". Main thread only, but for give().
// Rule: what the worker says is a hint from a process that faces the network. It may ask for what the schedule would allow.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "agent/deliver/outlet.h"
#include "agent/net/loop.h"
#include "evercert/board.h"
#include "evercert/log.h"
#include "evercert/pem.h"

namespace evercert {

class WorkerLink : public Outlet {
 public:
  // `renew`: what becomes of a wish to renew a certificate, in one sentence. The descriptor stays with its owner.
  WorkerLink(Loop& loop, int descriptor, std::shared_ptr<const Plan> plan, const Board& board, const ReportPage& report,
             Logger& log);
  ~WorkerLink() override;

  void give(const CertificateSpec& certificate, const Bundle& bundle, Outcome outcome) override;
  void on_renew(std::function<std::string(const std::string& certificate)> renew) { renew_ = std::move(renew); }

 private:
  struct Entry {
    std::uint64_t generation = 0;
    Secret message;
    std::vector<Outcome> outcomes;
    bool sent = false;
    unsigned failures = 0;
    std::chrono::steady_clock::time_point since;
  };
  void accept(const std::string& certificate, std::uint64_t generation, Secret message, Outcome outcome);
  void pump();
  void hear();
  void understand(const nlohmann::json& message);
  void taken(const std::string& certificate, std::uint64_t generation);
  void failed(const std::string& certificate, std::uint64_t generation, const std::string& why);
  void watch_silence();
  [[nodiscard]] bool has_already(const std::string& certificate, std::uint64_t generation) const;

  Loop& loop_;
  const int descriptor_;
  std::shared_ptr<const Plan> plan_;
  const Board& board_;
  const ReportPage& report_;
  Logger& log_;
  std::function<std::string(const std::string&)> renew_;
  std::map<std::string, Entry> entries_;
  std::deque<std::string> queue_;
  unsigned in_flight_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace evercert
