// Sealed JSON records: account keys, orders and challenge answers, under the agent key. Used by order/, challenge/ and the
// issuers.
// Rule: a record's name is one component of a key, as file_name_of() makes it; it is also what the seal is bound to, so that a
// listing tells all that is needed to open what it found.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "agent/store/store.h"
#include "evercert/state.h"
#include "serving/store/seal.h"

namespace evercert {

constexpr unsigned record_format = 1;  // member "format" of every record

struct LoadedRecord {
  std::shared_ptr<const nlohmann::json> content;  // null: there is none (any more)
  std::uint64_t revision = 0;
  std::optional<Error> damaged;  // it was damaged or foreign and lies in quarantine now
};

// accounts/<name>.account, orders/<name>.order, challenges/<name>.answer
std::string record_key(SealedKind kind, const std::string& name);
// Names of all records of a kind.
Result<std::vector<std::string>> record_names(Store& store, SealedKind kind);

// Errors: storage (the disk fails); action_required (locked, or of a newer release: left alone).
Result<LoadedRecord> load_record(Store& store, const SealKey& agent, SealedKind kind, const std::string& name);
// Puts `content` (an object) with its format number. Returns the revision.
Result<std::uint64_t> save_record(Store& store, const SealKey& agent, SealedKind kind, const std::string& name,
                                  nlohmann::json content, const Store::PutOptions& options = {});
Result<Done> erase_record(Store& store, SealedKind kind, const std::string& name);

}  // namespace evercert
