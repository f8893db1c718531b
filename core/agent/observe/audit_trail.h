// The audit trail: every event, one JSON line each, in state_path/state/events/<YYYY-MM>.jsonl. The agent appends, followers
// and the command line read. A line is written by one write() at the file's end, so that two agents never mix theirs; nothing
// that goes wrong here may hold up an order.
#pragma once

#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "agent/observe/event.h"
#include "evercert/descriptor.h"
#include "evercert/log.h"
#include "evercert/state.h"

namespace evercert {

class AuditTrail {
 public:
  // Makes the folder events/ (0750) when missing. Errors: storage.
  static Result<AuditTrail> open(const std::string& state_path, Logger& log);
  AuditTrail(AuditTrail&&) = default;

  // {"format":1,…event_json}. A line that cannot be written (a full disk) is dropped; the log is told when that begins and
  // when it ends. A line that a crash or a full disk cut off is closed by a newline before the next.
  // One call at a time: a listener of Events.
  void record(const Event& event);

 private:
  AuditTrail(Descriptor directory, Logger& log) : directory_(std::move(directory)), log_(&log) {}
  [[nodiscard]] Result<Done> open_month(const std::string& month);
  [[nodiscard]] Result<Done> append(const std::string& month, const std::string& line);

  Descriptor directory_;
  Logger* log_;
  std::string month_;
  Descriptor file_;
  bool torn_ = false;          // the file does not end with a newline
  std::uint64_t dropped_ = 0;  // lines since writing began to fail
};

// The last `count` events of a certificate (of all when empty), oldest first. Lines that are no JSON are passed over; at most
// the last 16 MiB of each month and the last 13 months are looked at.
Result<std::vector<nlohmann::json>> recent_events(const StateReader& state, const std::string& certificate, std::size_t count);

}  // namespace evercert
