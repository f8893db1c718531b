// Sectigo Certificate Manager (SCM), the classic interface: three headers log in with every request, errors are a negative code
// with a description. Made by make_issuer() only.
// Rule: what its documents leave open is a setting or a refusal.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/commercial/rest_api.h"

namespace evercert {

class Sectigo : public RestApi {
 public:
  Sectigo(const IssuerSpec& spec, std::unique_ptr<HttpClient> http, const Clock& clock);

  [[nodiscard]] std::string title() const override { return "Sectigo"; }
  Result<std::string> test_login() override;
  Result<std::string> place(const Wanted& wanted) override;
  Result<std::optional<std::string>> find(const Wanted& wanted, const std::vector<std::string>& known) override;
  [[nodiscard]] bool can_reissue(const Subscription&, const Wanted&) const override { return true; }
  Result<std::string> reissue(const Subscription& subscription, const Wanted& wanted) override;
  Result<std::optional<std::string>> find_reissue(const Subscription& subscription, const Wanted& wanted,
                                                  const std::vector<std::string>& known) override;
  Result<Progress> track(const std::string& order) override;
  Result<Task> task(const std::string& order, const std::string& name, ChallengeKind kind) override;
  Result<Done> verify(const std::string& order, const std::string& name, ChallengeKind kind,
                      const std::string& address) override;
  Result<std::string> download(const std::string& order) override;
  std::unique_ptr<CommercialAccount> make_account() override;
  [[nodiscard]] Error failed(const RestAnswer& answer, const std::string& what) override;
  Result<Done> cancel(const std::string& order, const std::string& why) override;
  Result<Done> revoke(const LeafFacts& leaf, int reason, const std::string& comment) override;
  Result<Settled> revocation_of(const LeafFacts& leaf) override;
  [[nodiscard]] AccountPace pace() const override;

 protected:
  Result<RestRequest> signed_request(RestRequest request) override;
  [[nodiscard]] Refusal refusal_in(const RestAnswer& answer) const override;
  [[nodiscard]] RefusalCause cause_of(const Refusal& refusal) const override;

 private:
  Result<std::vector<Json>> rows_of(const std::string& common_name);
  Result<Json> validation_of(const std::string& order, const std::string& what);
  void add_validation(Progress& progress, const Json& validation) const;
};

}  // namespace evercert
