// Events as lines of the server's log: a sentence, then fixed fields. A warning that says the same of the same certificate
// again is held back for an hour and counted, so that a CA that is away for a night leaves a page, not a disk, of log.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "agent/observe/event.h"
#include "evercert/log.h"

namespace evercert {

class EventLog {
 public:
  explicit EventLog(Logger& log) : log_(&log) {}
  // One call at a time: a listener of Events.
  void record(const Event& event);

 private:
  struct Repetition {
    std::chrono::system_clock::time_point written;
    std::uint64_t held_back = 0;
  };
  Logger* log_;
  std::map<std::string, Repetition> seen_;
};

// sentence, certificate="…" issuer="…" order="…". Quotes, backslashes and control characters are escaped: what a CA says
// cannot begin a line of its own.
std::string log_line(const Event& event);

}  // namespace evercert
