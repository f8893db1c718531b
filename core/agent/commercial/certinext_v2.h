// emSign CERTInext by its second interface ("certinext/v2"): resources, OAuth access tokens, problem documents (RFC 7807). Made
// by make_issuer() only.
// Rule: what its documents leave open is a setting or a refusal.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/commercial/rest_api.h"

namespace evercert {

class CertinextV2 : public RestApi {
 public:
  CertinextV2(const IssuerSpec& spec, std::unique_ptr<HttpClient> http, const Clock& clock);

  [[nodiscard]] std::string title() const override { return "CERTInext"; }
  Result<std::string> test_login() override;
  Result<std::string> place(const Wanted& wanted) override;
  Result<std::optional<std::string>> find(const Wanted& wanted, const std::vector<std::string>& known) override;
  [[nodiscard]] bool can_reissue(const Subscription& subscription, const Wanted& wanted) const override;
  Result<std::string> reissue(const Subscription& subscription, const Wanted& wanted) override;
  Result<std::optional<std::string>> find_reissue(const Subscription& subscription, const Wanted& wanted,
                                                  const std::vector<std::string>& known) override;
  Result<Progress> track(const std::string& order) override;
  Result<Task> task(const std::string& order, const std::string& name, ChallengeKind kind) override;
  Result<Done> verify(const std::string& order, const std::string& name, ChallengeKind kind,
                      const std::string& address) override;
  Result<std::string> download(const std::string& order) override;
  std::unique_ptr<CommercialAccount> make_account() override;
  Result<Done> cancel(const std::string& order, const std::string& why) override;
  Result<Done> revoke(const LeafFacts& leaf, int reason, const std::string& comment) override;
  Result<Settled> revocation_of(const LeafFacts& leaf) override;
  // A new access token, once, when the CA took ours back.
  Result<RestAnswer> ask(const RestRequest& request) override;
  [[nodiscard]] AccountPace pace() const override;
  // The first row of the order report that is wanted.
  Result<std::optional<Json>> row_of_report(const std::string& query, const std::string& what,
                                            const std::function<bool(const Json&)>& wanted);

 protected:
  Result<RestRequest> signed_request(RestRequest request) override;
  [[nodiscard]] Refusal refusal_in(const RestAnswer& answer) const override;
  [[nodiscard]] RefusalCause cause_of(const Refusal& refusal) const override;

 private:
  Result<std::string> token();
  // As in the first interface.
  Result<std::string> order_of(const LeafFacts& leaf);
  [[nodiscard]] Json order_body(const Wanted& wanted) const;

  std::atomic<bool> bare_request_ = false;
  std::mutex mutex_;  // guards what follows
  Secret token_;
  std::chrono::system_clock::time_point token_ends_;
  unsigned tokens_ = 0;  // so many were given
};

}  // namespace evercert
