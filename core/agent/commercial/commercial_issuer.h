// The issuer for commercial CAs: carries an order through validation of its names, people and issuance over whichever
// CommercialApi the CA speaks. Falls back from one way of proving to the next. Made by make_issuer() only.
// Rule: a running order that can bring a certificate is not paid for a second time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/commercial/cached_account.h"
#include "agent/commercial/commercial_api.h"
#include "agent/commercial/commercial_order.h"
#include "agent/issuer/surroundings.h"

namespace evercert {

// How soon to ask again while the CA works.
inline constexpr std::chrono::seconds commercial_working_pause{3};
// And while it is not ready to say how names are proved: after as long as the order has waited already, so that what takes a
// second is not waited for longer, but no less and no more than this.
inline constexpr std::chrono::seconds commercial_shortest_not_yet{1};
inline constexpr std::chrono::seconds commercial_longest_not_yet{15};

class CommercialIssuer : public Issuer {
 public:
  CommercialIssuer(IssuerSpec spec, std::unique_ptr<CommercialApi> api, const IssuerSurroundings& surroundings);

  [[nodiscard]] const IssuerSpec& spec() const override { return spec_; }
  [[nodiscard]] bool takes_comments() const override { return true; }
  [[nodiscard]] IssuerAccount* account() override { return desk_ ? &*desk_ : nullptr; }
  Result<std::string> test_login() override;
  Result<IssuerOrder> place(const Wanted& wanted) override;
  Result<std::optional<IssuerOrder>> find(const Wanted& wanted, const std::vector<std::string>& known) override;
  Result<std::vector<Challenge>> challenges(IssuerOrder& order) override;
  Result<Done> respond(const IssuerOrder& order, const Challenge& challenge) override;
  Result<IssuerOrder> refresh(const IssuerOrder& order) override;
  Result<IssuerOrder> finalize(const IssuerOrder& order, const Wanted& wanted) override;
  Result<IssuedCertificate> collect(const IssuerOrder& order) override;
  Result<Done> abandon(const IssuerOrder& order) override;
  Result<Fulfilment> revoke(BytesView leaf, const Revocation& why, const Secret* certificate_key) override;

 private:
  Result<IssuerOrder> fresh_order(std::string reference, const Wanted& wanted, bool reissue) const;
  // The running order of which what is wanted is to be had.
  [[nodiscard]] std::optional<Subscription> running(const Wanted& wanted) const;
  Result<std::optional<std::string>> reissue(const Subscription& subscription, const Wanted& wanted);
  std::optional<Challenge> challenge_of(const Task& task, const std::string& name, ChallengeKind kind) const;
  Result<IssuerOrder> next_way(IssuerOrder order, CommercialDetail detail, const std::string& why);
  Result<IssuerOrder> validating(IssuerOrder order, CommercialDetail detail, const Progress& progress);
  Result<IssuerOrder> write_mails(IssuerOrder order, CommercialDetail detail);
  // The order that took the place of this one: it has brought a certificate for our key, or is the only one that can.
  Result<std::optional<IssuerOrder>> successor_of(const IssuerOrder& order, const CommercialDetail& detail,
                                                  const Progress& progress);
  void tell(const char* name, LogLevel level, const std::string& certificate, const std::string& order,
            const std::string& sentence);
  IssuerOrder people(IssuerOrder order, const CommercialDetail& detail, const std::string& said) const;
  [[nodiscard]] std::int64_t now() const { return std::chrono::system_clock::to_time_t(clock_.now()); }
  // Seconds since then. A time in the future was set by a clock that has been turned back: long ago.
  [[nodiscard]] std::int64_t since(std::int64_t at) const { return at <= now() ? now() - at : at; }
  [[nodiscard]] std::chrono::seconds reissue_pause(const CommercialDetail& detail) const;
  [[nodiscard]] std::chrono::seconds not_yet_pause(const CommercialDetail& detail) const;
  [[nodiscard]] std::string who() const { return "issuer " + spec_.name; }

  const IssuerSpec spec_;
  const std::unique_ptr<CommercialApi> api_;
  const Clock& clock_;
  Events& events_;
  const std::stop_token stop_;
  std::optional<CachedAccount> desk_;  // none where the CA shows nothing of the account
};

std::unique_ptr<Issuer> make_commercial_issuer(const IssuerSpec& spec, std::unique_ptr<CommercialApi> api,
                                               const IssuerSurroundings& surroundings);

}  // namespace evercert
