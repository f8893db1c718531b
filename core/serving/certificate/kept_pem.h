// What a PEM file of an earlier start is good for. It lies where only its owner can write, the bundles do not: what was served
// before is believed when those are gone.
#pragma once

#include <chrono>
#include <vector>

#include "evercert/plan.h"
#include "evercert/secret.h"

namespace evercert {

enum class KeptPem {
  useless,   // for these names at this time: unreadable, expired, another's key, or a name is missing
  stand_in,  // issued by itself
  issued,
};
// The first certificate in a PEM text, as DER; empty: there is none.
Bytes first_certificate(const Secret& text);

KeptPem judge_pem(const Secret& text, const std::vector<Identifier>& names, std::chrono::system_clock::time_point now);

}  // namespace evercert
