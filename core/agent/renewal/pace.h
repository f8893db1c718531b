// What must be remembered between orders, and across restarts, so that neither a crash loop nor an eager operator makes the CA
// refuse us: failures in a row, when the next try is allowed, and what was issued lately. One small sealed file per
// certificate and kind of key beside its order record.
#pragma once

#include <cstdint>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "agent/renewal/schedule.h"
#include "agent/store/records.h"
#include "evercert/plan.h"
#include "evercert/state.h"

namespace evercert {

struct Pace {
  struct Failure {
    ErrorKind kind = ErrorKind::internal;
    std::string message;
    Time since;             // the first of the row
    unsigned in_a_row = 0;  // of this kind
    std::string options{};  // IssuerAccess::options and the names then; empty: a correction of them ends no pause
    // Failures by their kind since the last success: a CA that fails now so and now so does not begin each row anew.
    std::map<ErrorKind, unsigned> rows{};
    std::string remedy{};      // what a person can do
    bool until_asked = false;  // a person said no: no other order before a person asks
    Time said_since{};         // since when it has been of this kind and in these words
    bool lost = false;         // what was bought is not on the disk: over once it is there again
    // Since the last success, of whatever kind.
    [[nodiscard]] unsigned tries() const {
      return std::accumulate(rows.begin(), rows.end(), 0U, [](unsigned sum, const auto& row) { return sum + row.second; });
    }
  };
  std::optional<Failure> failure;
  Time next_attempt;             // no step before it
  unsigned issuer_index = 0;     // which of the certificate's issuers is asked
  unsigned issuer_failures = 0;  // failed orders there in a row
  unsigned unusable = 0;         // certificates that came and could not be taken, in a row
  // Of issuers that were left for the next one, until a certificate was issued: their failure and the end of their pause.
  struct SetAside {
    std::optional<Failure> failure;
    Time next_attempt;
  };
  std::map<std::string, SetAside> set_aside;
  Time seen_at;       // the clock when this was written: what lies behind it was set by that clock
  Time forgotten_at;  // when a CA last had forgotten an order of ours; unset by the next certificate
  struct Issued {
    Issue issue;
    std::string names;  // which set of names it was for
  };
  std::vector<Issued> issued;  // the last few

  // Where the clock has been turned back since `seen`, pauses are as long as they were, from now on. True: something changed.
  bool follow_clock(Time seen, Time now);

  // The issues for this set of names.
  [[nodiscard]] std::vector<Issue> issues_for(const std::vector<Identifier>& identifiers) const;
  void remember_issue(const std::vector<Identifier>& identifiers, const Issue& issue);
};

class PaceRecords {
 public:
  PaceRecords(Store& store, SealKey agent) : records_(store, std::move(agent)) {}
  // A missing, damaged or locked file is an empty pace: it only slows us down, it holds nothing that could be lost.
  Pace load(const std::string& certificate, KeyAlgorithm algorithm);
  Result<Done> save(const std::string& certificate, KeyAlgorithm algorithm, const Pace& pace);

 private:
  Records records_;
};

}  // namespace evercert
