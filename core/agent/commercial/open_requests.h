// What a commercial CA was asked for and has not done yet: to cancel an order, to revoke a certificate. Somebody there may have
// to agree. Kept in the store and looked after until the CA says that it is true or that it will not be. Used by CachedAccount.
// Rule: "cancelled" and "revoked" are said here, once the CA says so, and nowhere before.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/commercial/commercial_account.h"
#include "agent/commercial/commercial_api.h"
#include "agent/commercial/offers.h"
#include "agent/observe/event.h"
#include "serving/base/clock.h"

namespace evercert {

struct OpenRequest {
  enum class What { cancellation, revocation } what = What::cancellation;
  std::string certificate;
  std::string order;  // of a cancellation
  Bytes leaf;         // of a revocation, DER
  std::chrono::system_clock::time_point since;
  std::chrono::system_clock::time_point next;  // when the CA is asked
  unsigned looks = 0;
};

// What is kept of them. Reading throws a std::exception for what is no such record.
nlohmann::json to_json(const std::vector<OpenRequest>& requests);
std::vector<OpenRequest> open_requests_from(const nlohmann::json& json);

class OpenRequests {
 public:
  using Time = std::chrono::system_clock::time_point;
  // `records` may be null; all must outlive it.
  // `revoked` is told of what is true now; may be empty.
  OpenRequests(const IssuerSpec& spec, CommercialApi& api, const Clock& clock, Events& events, OfferRecords* records,
               std::function<void(const std::string& certificate, const Bytes& leaf)> revoked = {})
      : spec_(spec), api_(api), clock_(clock), events_(events), records_(records), revoked_(std::move(revoked)) {}

  // Thread-safe, like seen(). One of the same kind for the same thing is there once.
  void add(OpenRequest request);
  // Asks the CA about those that are due; when the next one is. One caller at a time.
  std::optional<Time> tend();
  [[nodiscard]] std::vector<IssuerAccount::Awaited> seen();

 private:
  // Whether it is over.
  bool look(const OpenRequest& request);
  bool look_at_cancellation(const OpenRequest& request);
  bool look_at_revocation(const OpenRequest& request);
  void load();  // with mutex_ held
  void save();  // with mutex_ held
  void tell_not_kept(const std::string& what, const Error& why);
  void tell(const char* name, LogLevel level, const OpenRequest& request, const std::string& sentence);

  const IssuerSpec& spec_;
  CommercialApi& api_;
  const Clock& clock_;
  Events& events_;
  OfferRecords* const records_;
  const std::function<void(const std::string& certificate, const Bytes& leaf)> revoked_;
  std::mutex mutex_;  // never held while the CA is asked; guards what follows
  std::vector<OpenRequest> open_;
  bool loaded_ = false;
};

}  // namespace evercert
