// Whether a certificate that a CA has issued may take the place of what is served. Pure; the renewal job asks it before it
// publishes, and what it says about names and keys is verify_bundle()'s.
#pragma once

#include <optional>
#include <string>

#include "agent/renewal/schedule.h"
#include "evercert/result.h"
#include "serving/certificate/bundle.h"

namespace evercert {

struct ServedNow {
  Lifetime lifetime;
  bool covers = true;  // names and kind of key are what is wanted
};

struct Acceptance {
  enum class Verdict {
    take,
    wait,      // it is good from `at` on
    unusable,  // `why` tells; another order of the same kind may bring a better one, once
  };
  Verdict verdict = Verdict::take;
  Time at{};
  std::optional<Error> why = std::nullopt;
};

// A start that lies further ahead is not waited for: what is served might not last so long.
constexpr std::chrono::hours longest_wait_for_begin{72};
// Clocks differ: what begins within this is taken as begun (verify_bundle() holds the same).
constexpr std::chrono::minutes begin_tolerance{5};

// `insisted`: a person wants this one whatever ends first.
Acceptance judge_issued(const LeafFacts& issued, const std::optional<ServedNow>& served, bool insisted, Time now);

}  // namespace evercert
