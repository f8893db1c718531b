// The ACME accounts in the store, sealed under the agent's key: accounts/<id>.account. Made once by the agent for all issuers.
#pragma once

#include "agent/issuer/account_records.h"
#include "agent/store/records.h"
#include "evercert/state.h"

namespace evercert {

class SealedAccounts : public AccountRecords {
 public:
  SealedAccounts(Store& store, SealKey agent) : records_(store, std::move(agent)) {}
  Result<std::optional<AccountRecord>> load(const std::string& id) override;
  Result<AccountRecord> add(const std::string& id, const AccountRecord& record) override;
  Result<Done> save(const std::string& id, const AccountRecord& record) override;

 private:
  Records records_;
};

}  // namespace evercert
