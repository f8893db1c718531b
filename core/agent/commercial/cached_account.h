// IssuerAccount for all commercial CAs: what the CA offers is kept in memory and in the store, an issuer's options are checked
// against it before an order is sent, and a balance that is short is told. Made and used by CommercialIssuer.
// Rule: lists that cannot be read never keep an order back; the CA itself has the last word.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "agent/commercial/commercial_account.h"
#include "agent/commercial/commercial_api.h"
#include "agent/commercial/open_requests.h"
#include "agent/issuer/surroundings.h"

namespace evercert {

// What is kept of the orders that an import left alone: order and certificate. Reading throws a std::exception for what is no
// such record.
nlohmann::json json_of_left_alone(const std::map<std::string, std::string>& orders);
std::map<std::string, std::string> left_alone_from(const nlohmann::json& json);

class CachedAccount : public IssuerAccount {
 public:
  using AsPlaced = std::function<Result<IssuerOrder>(const std::string& order, const Wanted& wanted)>;
  // `api` and what `surroundings` names must outlive it.
  CachedAccount(IssuerSpec spec, CommercialApi& api, std::unique_ptr<CommercialAccount> account,
                const IssuerSurroundings& surroundings, AsPlaced as_placed);

  Result<OrderPage> page(const OrderFilter& filter, const std::string& next) override { return account_->page(filter, next); }
  [[nodiscard]] bool has_groups() const override { return account_->has_groups(); }
  void leave_alone(const std::string& order, const std::string& name) override;
  Result<std::string> request_of(const std::string& order) override { return account_->request_of(order); }
  Result<std::string> ordered_on(const std::string& order) override { return account_->ordered_on(order); }
  Result<IssuedCertificate> certificate_of(const std::string& order) override;
  Result<IssuerOrder> as_placed(const std::string& order, const Wanted& wanted) override { return as_placed_(order, wanted); }
  Result<Offers> sync(bool domains) override;
  std::optional<std::chrono::system_clock::time_point> tend() override;
  [[nodiscard]] std::vector<Awaited> awaited() override { return open_.seen(); }
  // To be looked after until it is true.
  void await(OpenRequest request) { open_.add(std::move(request)); }
  [[nodiscard]] std::optional<Seen> seen() override;

  // Before an order is sent. Errors: action_required, when an option is none of what the CA offers.
  Result<Done> check_options();
  // Before an order for this name is sent. Errors: action_required, while an order is open that was left alone.
  Result<Done> check_open_orders(const std::string& name);
  // A refusal, with what there is instead when it says that something is unknown.
  Error explained(Error refusal);

 private:
  // From the store the first time.
  std::optional<Offers> known();
  // In turn only; what it says goes for all that follows in the turn.
  Result<Offers> fetch(bool domains);
  void tell_balance(const Offers& offers);
  void tell(const char* name, LogLevel level, const std::string& sentence,
            std::vector<std::pair<std::string, std::string>> fields = {});
  // The balance under which somebody has to be told; nullopt: there is no measure.
  [[nodiscard]] std::optional<Cents> measure(const Offers& offers) const;
  [[nodiscard]] std::chrono::system_clock::time_point due(const std::optional<Offers>& offers) const;

  const IssuerSpec spec_;
  CommercialApi& api_;
  const std::unique_ptr<CommercialAccount> account_;
  const Clock& clock_;
  Events& events_;
  OfferRecords* const records_;
  const AsPlaced as_placed_;
  OpenRequests open_;
  const std::chrono::system_clock::time_point begun_;
  std::mutex turn_;                                     // one asks the CA at a time; guards the three times
  std::chrono::system_clock::time_point not_before_;    // of the next try after one that failed
  std::chrono::system_clock::time_point explained_at_;  // when a refusal last made us ask
  std::chrono::system_clock::time_point told_low_at_;
  std::mutex mutex_;  // never held while the CA is asked; guards what follows
  std::optional<Offers> offers_;
  bool loaded_ = false;
  std::optional<std::map<std::string, std::string>> left_alone_;  // orders and their names; nullopt: not loaded yet

  std::map<std::string, std::string>& left_alone();  // with mutex_ held
  void keep_left_alone();                            // with mutex_ held
};

}  // namespace evercert
