// Where the agent keeps its ACME accounts: a key and the URL the CA knows it by. Implemented by whoever makes issuers (over
// the sealed store), so that issuers know no store. Rule: a key is kept before it is registered.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "evercert/result.h"
#include "evercert/secret.h"

namespace evercert {

struct AccountRecord {
  std::string directory;                             // address of the CA's directory
  std::string url;                                   // the account's; empty until registered
  Secret key;                                        // PKCS#8 DER; empty when the configuration names the key's file
  std::optional<std::vector<std::string>> contacts;  // those that the CA has from us, once we know
};

// Thread-safe. An id has only the characters [a-z0-9], so that it can be part of a key in the store. Errors: storage.
class AccountRecords {
 public:
  virtual ~AccountRecords() = default;
  virtual Result<std::optional<AccountRecord>> load(const std::string& id) = 0;
  // Keeps the record unless there is one; returns the one that is kept. So two that start at once use one key.
  virtual Result<AccountRecord> add(const std::string& id, const AccountRecord& record) = 0;
  virtual Result<Done> save(const std::string& id, const AccountRecord& record) = 0;
};

// What is kept of an account, to be sealed: {"directory","url","key","contact"}. Reading throws a std::exception for what is
// no account record.
nlohmann::json to_json(const AccountRecord& record);
AccountRecord account_record_from(const nlohmann::json& json);

}  // namespace evercert
