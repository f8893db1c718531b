// One certificate with everything around it that a renewal needs; `restart` is what a new process would find.
#pragma once

#include <cppunit/extensions/HelperMacros.h>

#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "agent/renewal/renewal.h"
#include "fake/fake_clock.h"
#include "fake/fake_issuer.h"
#include "fake/state_directory.h"

namespace evercert {

using namespace std::chrono_literals;

class RenewalGround : public CppUnit::TestFixture {
 public:
  RenewalGround()
      : orders_(state_.store(), state_.keys().agent, &state_.reached()), paces_(state_.store(), state_.keys().agent) {
    certificate_.name = "www.example.test";
    certificate_.identifiers = {{IdentifierKind::dns, "www.example.test"}};
    certificate_.issuers = {"ca"};
    certificate_.keys = {{KeyAlgorithm::ecdsa, 256}};
    keys_ = make_file_keys();
    for (const char* name : {"ca", "other"}) {
      IssuerSpec spec;
      spec.name = name;
      spec.uri = std::string("https://") + name + ".test/directory";
      issuers_[name] = std::make_shared<FakeIssuer>(spec, clock_);
      budgets_[name] = std::make_shared<Budget>(16);
    }
    restart();
  }

 protected:
  // An order that exists at the CA, as an import hands it over.
  OrderRecord placed_elsewhere() {
    auto key = keys_->generate(renewal_->key());
    CPPUNIT_ASSERT(key.has_value());
    auto request = make_request(*key, certificate_.identifiers, false);
    CPPUNIT_ASSERT(request.has_value());
    OrderRecord record;
    record.certificate = certificate_.name;
    record.identifiers = certificate_.identifiers;
    record.key = renewal_->key();
    record.issuer = "ca";
    record.issuer_uri = ca().spec().uri;
    record.our_reference = "elsewhere";
    record.private_key = std::move(key->bytes);
    record.request = std::move(*request);
    record.state = OrderState::placed;
    auto order = ca().place(record.wanted());
    CPPUNIT_ASSERT(order.has_value());
    record.order = std::move(*order);
    record.history.push_back({clock_.now(), OrderState::placed});
    return record;
  }

  FakeIssuer& ca() { return *issuers_.at("ca"); }

  void restart() {
    validations_ = std::make_unique<ValidationLedger>(state_.store(), state_.keys().agent);
    RenewalParts parts{clock_,
                       events_,
                       orders_,
                       paces_,
                       *validations_,
                       *keys_,
                       [this](const std::string& name) -> std::optional<IssuerAccess> {
                         if (!issuers_.contains(name)) return std::nullopt;
                         auto& budget = budgets_[name];
                         if (!budget) budget = std::make_shared<Budget>(16);
                         return IssuerAccess{issuers_.at(name), solver_, budget, options_};
                       },
                       [this](const CertificateSpec&, BundlePair pair, const std::string&) -> Result<Done> {
                         if (publication_fails_) return *publication_fails_;
                         auto facts = leaf_facts(pair.leaf);
                         CPPUNIT_ASSERT(facts.has_value());
                         published_.push_back(pair.private_key);
                         current_ = Installed{{facts->not_before, facts->not_after}, published_.size(), true};
                         if (die_after_publishing_) throw std::runtime_error("killed");
                         renewal_->installed(current_);
                         if (std::exchange(asks_when_published_, false)) CPPUNIT_ASSERT(!renewal_->request(true));
                         return Done{};
                       },
                       [this](const OrderRecord& record) {
                         return std::any_of(published_.begin(), published_.end(),
                                            [&](const Secret& key) { return key.text() == record.private_key.text(); });
                       },
                       [](const std::string&, const std::vector<Challenge>&) {},
                       [](const std::string&) { return 0U; },
                       [](const std::string&) {},
                       [] { return 0.5; }};
    parts.find_order = [this](const CertificateSpec&, const KeySpec&) -> Result<std::optional<OrderRecord>> {
      if (left_orders_fail_) return Error{ErrorKind::storage, "the disk fails"};
      return std::optional<OrderRecord>();
    };
    parts.missing = [this](const CertificateSpec&) { return missing_; };
    parts.lent = [this](const CertificateSpec&, const std::vector<Identifier>&) { return lent_; };
    for (auto& [name, budget] : budgets_) budget = std::make_shared<Budget>(16);
    renewal_ = std::make_unique<Renewal>(std::move(parts), certificate_, certificate_.keys.front());
    die_after_publishing_ = false;
    if (current_) renewal_->installed(current_);
  }

  // Steps, with the clock following the short waits of polling, until the renewal wants to sleep for a second or more.
  std::optional<Time> run() {
    for (int i = 0; i < 200; ++i) {
      const auto again = renewal_->run();
      if (!again.at) return std::nullopt;
      if (*again.at >= clock_.now() + 1s) return again.at;
      if (*again.at > clock_.now()) {
        clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(*again.at - clock_.now()));
      }
    }
    CPPUNIT_FAIL("the renewal never came to rest");
    return std::nullopt;
  }

  // What happens in that time; looked at every quarter of an hour.
  void live(std::chrono::minutes time) {
    for (const Time end = clock_.now() + time; clock_.now() < end; clock_.advance(std::min<std::chrono::minutes>(time, 15min)))
      run();
    run();
  }

  StateDirectory state_;
  FakeClock clock_;
  Events events_;
  std::shared_ptr<FakeSolver> solver_ = std::make_shared<FakeSolver>();
  OrderRecords orders_;
  PaceRecords paces_;
  std::unique_ptr<ValidationLedger> validations_;
  std::unique_ptr<KeyProvider> keys_;
  CertificateSpec certificate_;
  std::map<std::string, std::shared_ptr<FakeIssuer>> issuers_;
  std::map<std::string, std::shared_ptr<Budget>> budgets_;
  std::unique_ptr<Renewal> renewal_;
  std::vector<Secret> published_;
  std::optional<Installed> current_;
  std::optional<Error> publication_fails_;
  std::string options_ = "as written";
  std::optional<std::string> lent_;       // a name that what is current serves for another certificate
  std::optional<std::uint64_t> missing_;  // a generation that was removed
  bool left_orders_fail_ = false;
  bool die_after_publishing_ = false;
  bool asks_when_published_ = false;
};

}  // namespace evercert
