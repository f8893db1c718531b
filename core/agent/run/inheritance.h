// The agent's end of the channel to the server that started it: how it gets what only the privileged starter had, speaks into
// the server's log, and learns that the server is gone.
// Rule: nothing is received before this process is protected from others of its user.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

#include "evercert/descriptor.h"
#include "evercert/log.h"
#include "evercert/result.h"

namespace evercert {

struct Inheritance {
  std::string instance;  // agents with the same one belong to the same server
  Descriptor board;
  Descriptor report;
  Descriptor wake;
  Descriptor plan;
  Descriptor secrets;
  Descriptor leader;
  Descriptor link;  // to a server's worker that cannot read bundles; may be missing
  Descriptor channel;
};

// Takes over `channel` (closing it on any error): makes this process undumpable and without core files, refuses to go on
// while it is traced, says that it is ready and waits for the descriptors. Errors: connection (the server has gone, or sent
// nothing in time), internal (this process cannot be protected, or what came is not what was agreed).
Result<Inheritance> receive_inheritance(int channel, std::chrono::milliseconds timeout = std::chrono::seconds(30));

// What the server says on the channel; to be asked whenever it is readable, and as often as one likes.
struct ServerWord {
  bool gone = false;  // end of file, or ECONNRESET where it left something unread
  std::string again;  // the program to begin anew with, since the configuration changed; or empty
  Descriptor image;   // what to execute in its place; may be missing
};
ServerWord hear_server(int channel);

// Writes into the server's log over the channel. Never blocks: what does not fit is dropped, and how much that was is told
// with the next line that fits; nobody misses what was for debugging.
class ChannelLogger : public Logger {
 public:
  // `channel` stays with its owner and must outlive this.
  explicit ChannelLogger(int channel) : channel_(channel) {}
  void write(LogLevel level, std::string_view line) override;
  [[nodiscard]] std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  bool send(LogLevel level, std::string_view line) const;

  const int channel_;
  std::mutex mutex_;
  std::uint64_t untold_ = 0;
  std::atomic<std::uint64_t> dropped_{0};
};

}  // namespace evercert
