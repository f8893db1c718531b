// What commercial CAs offer to our accounts, as last read, what they were asked for, and which orders were left alone:
// accounts/<id>.offers, .requests and .left_alone, sealed under the agent's key. Made once by the leader for all issuers.
#pragma once

#include "agent/commercial/offers.h"
#include "agent/store/records.h"
#include "evercert/state.h"

namespace evercert {

class StoredOffers : public OfferRecords {
 public:
  StoredOffers(Store& store, SealKey agent) : records_(store, std::move(agent)) {}
  Result<bool> load(const std::string& issuer, What what, const Reader& read) override;
  Result<Done> save(const std::string& issuer, What what, nlohmann::json content) override;

 private:
  Records records_;
};

}  // namespace evercert
