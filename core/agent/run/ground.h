// What the agent stands on, whether it leads or follows: its own configuration, keys, store, board and the way to speak.
#pragma once

#include <memory>
#include <string>

#include "agent/deliver/delivery.h"
#include "agent/observe/event.h"
#include "agent/run/loop.h"
#include "agent/run/seats.h"
#include "agent/store/store.h"
#include "evercert/leader_file.h"
#include "evercert/state.h"
#include "serving/base/clock.h"

namespace evercert {

struct Ground {
  std::string instance;  // agents with the same one belong to the same server
  std::string state_path;
  int state_directory;
  int leader_file;  // leader_file.h
  ReachedGenerations& reached;
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
  Seats::Maker make_issuer;
  // For servers that do not read bundles themselves; may be null.
  Outlet* outlet = nullptr;
  Delivery delivery{};
};

}  // namespace evercert
