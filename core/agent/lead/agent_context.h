// What the agent stands on, whether it leads or follows: its own configuration, keys, store, board and the way to speak.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/deliver/delivery.h"
#include "agent/lead/issuer_accounts.h"
#include "agent/net/loop.h"
#include "agent/observe/event.h"
#include "agent/publish/listener_proof.h"
#include "agent/renewal/workers.h"
#include "agent/store/store.h"
#include "evercert/board.h"
#include "evercert/leader_file.h"
#include "evercert/state.h"
#include "serving/base/clock.h"
#include "serving/key/key_provider.h"

namespace evercert {

struct AgentContext {
  std::string instance;  // agents with the same one belong to the same server
  std::string state_path;
  int state_directory;
  int leader_file;  // leader_file.h
  ReachedNumbers& reached;
  std::shared_ptr<const Plan> plan;
  std::string settings;                 // the same as evercert.json
  std::map<std::string, Secret> files;  // what it names
  SealKeys keys;
  Time started;
  const Clock& clock;
  Logger& log;
  Events& events;
  Store& store;
  Board& board;
  ReportPage& report;
  Loop& loop;
  // Unset: real ones.
  IssuerAccounts::Maker make_issuer{};
  // For servers that do not read bundles themselves; may be null.
  Outlet* outlet = nullptr;
  Delivery delivery{};
  // What else of the world outside can be another one. Unset: threads, the state directory, keys in files, chance.
  std::function<std::unique_ptr<Workers>(unsigned threads)> make_workers{};
  std::function<Result<std::unique_ptr<StateFiles>>()> make_state_files{};
  std::shared_ptr<KeyProvider> key_provider{};
  std::function<double()> random{};  // 0 … 1
  Prover prove = evercert::prove;

  [[nodiscard]] std::unique_ptr<Workers> workers(unsigned threads) const;
  [[nodiscard]] Result<std::unique_ptr<StateFiles>> open_state() const;
};

}  // namespace evercert
