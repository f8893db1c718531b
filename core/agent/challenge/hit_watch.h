// Which jobs wait for validation requests, and how many of those were seen: the report page of the server's workers, read when
// the eventfd rings, and what followers say of theirs. What workers say may be wrong; it only makes a poll come earlier.
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
  // So many requests for an answer were seen by another server that gives it, too. Nobody waits for it: forgotten.
  void seen_elsewhere(const std::string& token, std::uint32_t hits);
  struct Risen {
    std::string job;
    std::uint32_t hits;  // since the last call
  };
  std::vector<Risen> risen();

 private:
  struct Watched {
    std::vector<std::uint32_t> slots;
    std::vector<std::string> tokens;
    std::uint32_t before = 0;  // what the page said at the beginning
    std::uint32_t elsewhere = 0;
    std::uint32_t told = 0;
  };
  [[nodiscard]] std::uint32_t on_page(const Watched& watched) const;
  [[nodiscard]] std::uint32_t seen(const Watched& watched) const;
  const Board& board_;
  const ReportPage& report_;
  mutable std::mutex mutex_;
  std::map<std::string, Watched> watched_;
};

}  // namespace evercert
