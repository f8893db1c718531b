// Which names could not be validated lately, at which CA: the one place that keeps the promise of at most four failed
// validations in an hour for a name, whatever asks for the next one (another certificate with that name, another kind of key,
// a changed configuration, a start). On disk, so that a restart forgets nothing. Thread-safe.
#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/renewal/schedule.h"
#include "agent/store/records.h"
#include "evercert/state.h"

namespace evercert {

// CAs count by the hour; Let's Encrypt allows five.
constexpr std::size_t failed_validations_an_hour = 4;

class ValidationLedger {
 public:
  // Reads what an earlier process left. What is missing or cannot be read is empty: it would only slow us down.
  ValidationLedger(Store& store, SealKey agent);

  // One failed validation of each of these names. Errors: storage; it counts in memory all the same.
  Result<Done> failed(const std::string& issuer_uri, const std::vector<std::string>& names, Time now);
  // Until when none of these names may be validated again there; nullopt: go ahead.
  [[nodiscard]] std::optional<Time> blocked_until(const std::string& issuer_uri, const std::vector<std::string>& names,
                                                  Time now) const;

 private:
  void read(char part);
  void forget_old(Time now);
  [[nodiscard]] Result<Done> write(char part);

  Records records_;
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, std::deque<Time>> failures_;  // by issuer and name, oldest first
};

}  // namespace evercert
