// What a server, the agent or the command line lends the core to speak with.
#pragma once

#include <string_view>

namespace evercert {

// error: needs a person. warn: will be retried. notice: a certificate changed. info: steps. debug: requests without bodies.
enum class LogLevel { error, warn, notice, info, debug };

class Logger {
 public:
  virtual ~Logger() = default;
  // One line: a sentence, then fixed fields (certificate="…" issuer="…" order="…"). Called from any thread of the
  // process that owns the logger; a logger over a server's log queues where that log is not thread-safe.
  virtual void write(LogLevel level, std::string_view line) = 0;
};

}  // namespace evercert
