// Sealed records under the agent's key: the one way in which orders, paces, failed validations, accounts, offers and challenge
// answers are sealed, labelled, versioned, read and put away. Used by the rooms that own a kind of record; where it lies and
// what its members mean is theirs.
//
// A file is seal(agent, {kind, label}, JSON object), with the member "format". One sample of each lies in tests/data/formats.
// Rule: what is damaged is moved to quarantine/ and counts as gone; what is locked or of a newer release is left alone.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "agent/store/store.h"
#include "evercert/state.h"
#include "serving/store/seal.h"

namespace evercert {

// Of every record that this release writes. Members are only added; a change of what is there needs the next number.
constexpr std::int64_t record_format = 1;

struct RecordPlace {
  SealedKind kind = SealedKind::order;
  std::string key;    // in the store
  std::string label;  // what the seal is bound to
  std::string what;   // for sentences: "the order record orders/www.example.com.ecdsa.order"
};

struct RecordFound {
  bool present = false;          // it was read
  std::optional<Error> damaged;  // it was not what it should be; the sentence says where it lies now
};

// Thread-safe as the store is.
class Records {
 public:
  // Takes what it needs from the content. Throws a std::exception when it is no record of its kind.
  using Reader = std::function<void(const nlohmann::json& content)>;

  Records(Store& store, SealKey agent) : store_(store), key_(std::move(agent)) {}
  // Errors: storage (the disk fails), action_required (locked, or of a newer release: left alone).
  Result<RecordFound> load(const RecordPlace& place, const Reader& read);
  // `content`: an object; its format is added. Wiped from memory afterwards: accounts and orders carry private keys.
  Result<Done> save(const RecordPlace& place, nlohmann::json content, const Store::PutOptions& options = {});

 private:
  Store& store_;
  const SealKey key_;
};

// Moves what was found at fault out of the way. Returns the fault with where it went.
Error put_away(Store& store, const std::string& key, Error fault);

}  // namespace evercert
