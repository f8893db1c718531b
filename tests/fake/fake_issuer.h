// A CA in memory: counts what it is asked, fails when it is told to, and signs real certificates for real requests, so that
// everything behind it can verify them.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "agent/challenge/solver.h"
#include "agent/issuer/issuer.h"
#include "serving/base/clock.h"
#include "serving/base/openssl_handles.h"

namespace evercert {

class FakeIssuer : public Issuer {
 public:
  FakeIssuer(IssuerSpec spec, const Clock& clock);
  [[nodiscard]] const IssuerSpec& spec() const override { return spec_; }
  void is_called(const std::string& name) { spec_.name = name; }
  void is_at(const std::string& uri) { spec_.uri = uri; }
  Result<std::string> test_login() override { return std::string("nobody in particular"); }
  Result<IssuerOrder> place(const Wanted& wanted) override;
  Result<std::optional<IssuerOrder>> find(const Wanted& wanted, const std::vector<std::string>& known) override;
  Result<std::vector<Challenge>> challenges(IssuerOrder& order) override;
  Result<Done> respond(const IssuerOrder& order, const Challenge& challenge) override;
  Result<IssuerOrder> refresh(const IssuerOrder& order) override;
  Result<IssuerOrder> finalize(const IssuerOrder& order, const Wanted& wanted) override;
  Result<IssuedCertificate> collect(const IssuerOrder& order) override;
  Result<Done> abandon(const IssuerOrder& order) override;
  Result<Fulfilment> revoke(BytesView leaf, const Revocation& why, const Secret* certificate_key) override;

  [[nodiscard]] unsigned count(const std::string& action) const;
  [[nodiscard]] std::size_t orders() const;
  // The next call of `action` fails with this; `after`: the CA has done it all the same, only its answer is lost.
  void fail_next(const std::string& action, const Error& error, bool after = false);
  // Every call of every action is told; it may throw to play a crash.
  std::function<void(const std::string& action, bool after)> witness;
  // Changes what the CA says of an order, after it has done what it was asked for; an error is said instead.
  std::function<std::optional<Error>(const std::string& action, IssuerOrder&)> twist;
  std::chrono::hours lifetime{24 * 90};
  std::chrono::seconds begins{-60};  // what is issued, from now on
  Error* always = nullptr;           // every action fails with it
  bool validation_fails = false;
  std::atomic<bool> validating = false;     // while it is set, no validation comes to its end
  std::string subscription;                 // what every certificate brings
  bool people_wanted = false;               // a validated order waits for somebody
  bool working = false;                     // the CA works on one
  [[nodiscard]] Bytes placed_last() const;  // the request of the last order

 private:
  struct Held {
    Wanted wanted;
    IssuerOrder order;
    Bytes leaf;
  };
  Result<Done> begin(const std::string& action);
  Result<Done> end(const std::string& action);
  Result<IssuerOrder> said(const std::string& action, IssuerOrder order) const;
  Bytes sign(const Wanted& wanted);

  IssuerSpec spec_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::map<std::string, unsigned> counts_;
  std::map<std::string, std::deque<std::pair<Error, bool>>> failures_;
  std::map<std::string, Held> held_;
  KeyHandle key_;
  long serial_ = 1;
};

class FakeSolver : public ChallengeSolver {
 public:
  Result<Done> present(const Challenge& challenge) override {
    presented.insert_or_assign(challenge.token, challenge.answer);
    return Done{};
  }
  Result<Done> clean_up(const Challenge& challenge) override {
    presented.erase(challenge.token);
    return Done{};
  }
  std::map<std::string, std::string> presented;
};

}  // namespace evercert
