// Which jobs wait for validation requests, and how many of those were seen: the report page of the server's workers, read when
// the eventfd rings. What workers say may be wrong; it only makes a poll come earlier.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "agent/issuer/issuer.h"
#include "evercert/board.h"

namespace evercert {

class HitWatch {
 public:
  HitWatch(const Board& board, const ReportPage& report) : board_(board), report_(report) {}
  // From now on counts for `job`; no challenges: forgets it.
  void watch(const std::string& job, const std::vector<Challenge>& challenges);
  // All that were seen since watch().
  [[nodiscard]] std::uint32_t hits(const std::string& job) const;
  // Jobs whose count has risen since the last call.
  std::vector<std::string> risen();

 private:
  struct Watched {
    std::vector<std::uint32_t> slots;
    std::uint32_t before = 0;  // what the page said at the beginning
    std::uint32_t told = 0;
  };
  [[nodiscard]] std::uint32_t count(const Watched& watched) const;
  const Board& board_;
  const ReportPage& report_;
  mutable std::mutex mutex_;
  std::map<std::string, Watched> watched_;
};

}  // namespace evercert
