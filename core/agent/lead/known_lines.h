// Every line of certificates that is stored, whether a configuration names it or not, as the leader keeps it in mind: for what
// is covered already, for lines that nobody names, and for the index that the next starter reads. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "evercert/lines.h"
#include "serving/base/clock.h"

namespace evercert {

class KnownLines {
 public:
  // Opens what is stored, once. `alone`: no starter has said what is wrong with it.
  using Opener = std::function<Result<std::unique_ptr<StateFiles>>()>;
  KnownLines(Opener open, const SealKey& serving, const Clock& clock, Logger& log, bool alone)
      : open_(std::move(open)), serving_(serving), clock_(clock), log_(log), alone_(alone) {}

  void put(StoredLine line);
  void forget(const std::string& name);
  // Lines other than its own that have all its names, from a CA it may have certificates of; the one that lasts longest first.
  [[nodiscard]] std::vector<StoredLine> covering(const CertificateSpec& certificate);
  // The line that has this name meanwhile.
  [[nodiscard]] std::optional<StoredLine> best_for(const Identifier& identifier, const std::string& but);
  [[nodiscard]] std::optional<StoredLine> find(const std::string& name);
  // Those that have not ended.
  [[nodiscard]] std::vector<StoredLine> all();
  [[nodiscard]] std::string line_for(const std::vector<Identifier>& identifiers, const std::string& wanted);
  // The index for the next starter; nullopt: it has not changed since it was last asked for.
  [[nodiscard]] std::optional<Bytes> changed_index();

 private:
  // Reads what is stored, once. To be called with the lock.
  LineIndex& index();

  const Opener open_;
  const SealKey& serving_;
  const Clock& clock_;
  Logger& log_;
  const bool alone_;
  std::mutex mutex_;
  std::optional<LineIndex> index_;
  bool changed_ = true;
};

}  // namespace evercert
