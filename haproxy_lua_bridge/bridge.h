// What evercert does inside HAProxy's processes, without a word of Lua: the starter's part (as root, before HAProxy gives its
// privileges up) and the worker's. One per process; it outlives every Lua state.
// Rule: nothing waits but start(), for milliseconds; after start() this process holds neither seal keys nor a writable board.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "evercert/board.h"
#include "evercert/launch.h"
#include "evercert/lines.h"
#include "evercert/link.h"
#include "evercert/pem.h"
#include "evercert/plan.h"
#include "evercert/state.h"
#include "evercert/status.h"

namespace evercert {

// HAProxy's own log function is Lua's to call: lines wait here until Lua asks.
class QueueLogger : public Logger {
 public:
  struct Line {
    LogLevel level;
    std::string text;
  };
  void write(LogLevel level, std::string_view line) override;
  std::optional<Line> next();

 private:
  static constexpr std::size_t most_lines = 4096;
  std::mutex mutex_;
  std::deque<Line> lines_;
};

class Bridge {
 public:
  static Bridge& instance();

  // From the Lua file's body: reads and checks the configuration, writes the PEM files that `bind ... crt` is about to read.
  // Also under `haproxy -c`, so nothing else is touched. `server`: "HAProxy/2.6.12".
  Result<Done> prepare(const std::string& configuration, const std::string& server);
  // Once per process, from core.register_init: the agent waits, ready, until begin(). False: it was started before.
  Result<bool> start();
  // From the first task, in the process that serves.
  void begin();

  std::optional<LinkMessage> receive();
  // What became of the certificate that receive() gave last. Since then: milliseconds.
  double swapped(const std::string& certificate, std::uint64_t generation);
  double refused(const std::string& certificate, std::uint64_t generation, std::string_view why);
  bool ask_renewal(const std::string& certificate);
  std::optional<std::string> answer(std::string_view host, std::string_view path);

  // A page of the status, to be read in portions. A number because Lua 5.3 and 5.4 share no call for objects of ours; any
  // thread may use it. `rest`: the path below the status location. nullopt: no such page.
  struct OpenPage {
    std::int64_t number;
    std::string_view type;
    std::uint64_t size;
  };
  Result<std::optional<OpenPage>> open_status(std::string_view rest);
  // From byte `sent` on; empty at the end.
  Result<std::string> read_status(std::int64_t number, std::uint64_t sent) const;
  void close_status(std::int64_t number);

  [[nodiscard]] const std::string& pem_path() const { return pem_path_; }
  QueueLogger& log() { return log_; }

 private:
  [[nodiscard]] double since_received() const;
  void add_other_files(LinkMessage& message);
  Result<Done> check_settings(const std::string& configuration, const std::string& server);
  Result<Done> share(const SealKeys& keys);

  QueueLogger log_;
  bool prepared_ = false;
  bool started_ = false;
  std::string pem_path_;
  Settings settings_;
  DiskFiles files_;
  std::optional<Plan> plan_;
  WrittenPem written_;  // what HAProxy reads at its start
  std::shared_ptr<Instance> instance_;
  std::optional<Board> board_;
  std::optional<ReportPage> report_;
  std::optional<StateReader> state_;
  std::optional<AgentLink> link_;
  mutable std::mutex pages_mutex_;
  std::map<std::int64_t, std::shared_ptr<const StatusPage>> pages_;
  std::int64_t last_page_ = 0;
  std::chrono::steady_clock::time_point received_;
};

}  // namespace evercert
