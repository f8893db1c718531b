// Store: where the agent keeps what must not be lost. Objects by key, written whole or not at all. One implementation so far
// (file_store.h, state_path/state).
//
// Keys are paths of [a-z0-9._-] components separated by "/": certificates/<name>/<generation>.bundle, accounts/<id>.account,
// orders/<name>.<key>.order, challenges/<kind>.<token>.answer. Values are at most 256 KiB.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "evercert/result.h"
#include "evercert/secret.h"

namespace evercert {

struct StoredObject {
  Bytes value;
  std::uint64_t revision = 0;  // opaque; changes with each change of the key
};

enum class Durability {
  process,  // survives kill -9 of us at any instant
  power,    // and a power cut: file and directory are fsynced
};

// The type of the problem of what lies in an object's place and can never be read as one: a pipe, or more than any object is.
inline constexpr const char* no_object = "urn:evercert:error:noObject";
inline bool is_no_object(const Error& error) {
  return error.problem && error.problem->type == no_object;
}

// Exclusive right to a name while held; freed when destroyed or when the process dies.
class StoreLock {
 public:
  virtual ~StoreLock() = default;
};

// A subscription; ends when destroyed.
class StoreWatch {
 public:
  virtual ~StoreWatch() = default;
};

class Store {
 public:
  virtual ~Store() = default;
  virtual Result<std::optional<StoredObject>> get(const std::string& key) = 0;
  // Keys below a prefix that ends in "/", unsorted.
  virtual Result<std::vector<std::string>> list(const std::string& prefix) = 0;

  struct Condition {
    enum class Kind { any, absent, revision } kind = Kind::any;
    std::uint64_t revision = 0;
  };
  struct PutOptions {
    Condition condition{};
    Durability durability = Durability::power;
  };
  // Atomic. Errors: storage (full, read-only, condition not met: the message says which); nothing has changed then.
  virtual Result<std::uint64_t> put(const std::string& key, BytesView value, const PutOptions& options) = 0;
  // Idempotent: an absent key is no error.
  virtual Result<Done> erase(const std::string& key) = 0;
  // Moves a damaged or foreign object out of the way, to quarantine/, keeping its bytes. Returns where it went.
  virtual Result<std::string> quarantine(const std::string& key) = 0;

  // Removes what killed writers left behind over an hour before `now`. For the leader, once at its start. Returns how much.
  virtual Result<std::size_t> sweep(std::chrono::system_clock::time_point now) = 0;

  // A null pointer: another process holds it still after `wait`.
  virtual Result<std::unique_ptr<StoreLock>> lock(const std::string& name, std::chrono::milliseconds wait,
                                                  std::stop_token stop) = 0;

  // Calls `changed` with a key for every change below `prefix` made by anybody, at least once, from a thread of the store;
  // with the prefix itself when history was lost and the caller must list again. Until the returned object goes.
  virtual Result<std::unique_ptr<StoreWatch>> watch(const std::string& prefix,
                                                    std::function<void(const std::string& key)> changed) = 0;
};

}  // namespace evercert
