// What commercial CAs offer to our accounts, as last read: accounts/<id>.offers, sealed under the agent's key. Made once by the
// leader for all issuers. Rule: a record that cannot be read is none; the CA is asked again.
#pragma once

#include "agent/commercial/offers.h"
#include "agent/store/store.h"
#include "evercert/state.h"

namespace evercert {

class StoredOffers : public OfferRecords {
 public:
  StoredOffers(Store& store, SealKey agent) : store_(store), key_(std::move(agent)) {}
  Result<std::optional<std::string>> load(const std::string& issuer) override;
  Result<Done> save(const std::string& issuer, const std::string& text) override;

 private:
  Store& store_;
  SealKey key_;
};

}  // namespace evercert
