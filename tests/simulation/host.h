// A server on the simulated machine with its agent: its board and plan outlive the agent's processes.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/lead/leader.h"
#include "simulation/executor.h"
#include "simulation/history.h"
#include "simulation/keys.h"
#include "simulation/medium.h"

namespace evercert::simulation {

class SilentLog : public Logger {
 public:
  explicit SilentLog(History& history) : history_(history) {}
  void write(LogLevel level, std::string_view line) override {
    if (level == LogLevel::error || level == LogLevel::warn) history_.add("log", "says", [&] { return std::string(line); });
  }

 private:
  History& history_;
};

// What all processes of the machine share, and what the world lends them.
struct Machine {
  const Times& times;
  const Clock& clock;
  History& history;
  Medium& medium;
  SealKeys keys;
  Descriptor leader_file;
  std::function<Result<std::unique_ptr<Issuer>>(const IssuerSpec&)> make_issuer;
  std::shared_ptr<KeyProvider> key_provider;
  std::function<double()> random;
};

class Host {
 public:
  Host(std::string name, Machine& machine, std::shared_ptr<const Plan> plan);

  // One process: from its start to its end, however that comes.
  struct Process {
    Process(Host& host, Machine& machine);
    ReachedNumbers reached;
    SimulatedLoop loop;
    SilentLog log;
    Events events;
    std::unique_ptr<Store> store;
    std::vector<SimulatedWorkers*> workers;
    std::optional<AgentContext> context;
    std::unique_ptr<Leader> leader;
    bool doomed = false;  // it ends at the next thing it does
    // What is ready to be run, and when something will be.
    [[nodiscard]] bool ready() const;
    [[nodiscard]] std::optional<Time> next(const Times& times) const;
    void look_at_the_clock(bool chores_too);
    // One job's step, or one action of the main thread.
    void run_one();
  };

  void start();
  void lead();  // the process has the lead from now on
  void end() { process.reset(); }

  // What its listener presents for a name, by the leaf's SHA-256.
  [[nodiscard]] std::optional<Bytes> presented(const std::string& server_name) const;

  std::string name;
  Machine& machine;
  std::shared_ptr<const Plan> plan;
  std::unique_ptr<Board> board;
  std::unique_ptr<ReportPage> report;
  std::unique_ptr<Process> process;
  std::optional<Time> frozen_until;  // stopped, as by SIGSTOP
  std::function<void(Host& host, const Event& event)> told;
  Prover prove;
};

}  // namespace evercert::simulation
