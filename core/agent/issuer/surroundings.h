// What every issuer works with, whatever its protocol.
#pragma once

#include <functional>
#include <stop_token>
#include <string>

#include "agent/issuer/account_records.h"
#include "agent/issuer/issuer.h"
#include "agent/net/http_client.h"
#include "agent/observe/event.h"
#include "serving/base/clock.h"

namespace evercert {

class OfferRecords;

// All of it must outlive the issuers.
struct IssuerSurroundings {
  AccountRecords& accounts;
  Events& events;
  const Clock& clock;
  std::stop_token stop{};  // ends requests under way
  // Told the HTTP status of every answer, 0 when none came; from any thread. For counters.
  std::function<void(const std::string& issuer, int status)> answered{};
  OfferRecords* offers = nullptr;  // null: what CAs offer is forgotten with the process
  // Told of a revocation that the CA was asked for before and has done now; from any thread.
  std::function<void(const std::string& certificate, const Bytes& leaf)> revoked{};
};

// How to reach the CA of a specification.
HttpSettings http_settings_of(const IssuerSpec& spec, const IssuerSurroundings& surroundings);

}  // namespace evercert
