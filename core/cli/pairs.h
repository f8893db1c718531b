// The facts of the certificates in a bundle, as JSON. Needs the seal key, so it works for root (or the owner where nothing
// is privileged).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "evercert/state.h"
#include "serving/certificate/bundle.h"

namespace evercert {

// [{"key","serial","not_before","not_after","sha256","chain","identifiers"}] of the newest generation that opens.
Result<nlohmann::json> pair_facts(const std::string& state_path, const StateReader& state, const std::string& certificate);

// The newest generation that opens; nullopt when there is none. Generations that do not
// open are passed over, one that is locked or newer than this program is an error (action_required).
Result<std::optional<Bundle>> newest_readable_bundle(const StateReader& state, const SealKey& serving,
                                                     const std::string& certificate);

}  // namespace evercert
