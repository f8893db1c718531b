// emSign CERTInext by its first interface ("emSignHub-API"): every call is a POST of an operation, signed with the access key,
// which itself never travels. Business errors come with HTTP status 200. Made by make_issuer() only.
// Rule: what its documents leave open is a setting or a refusal.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/commercial/rest_api.h"

namespace evercert {

class CertinextV1 : public RestApi {
 public:
  CertinextV1(const IssuerSpec& spec, std::unique_ptr<HttpClient> http, const Clock& clock);

  [[nodiscard]] std::string title() const override { return "CERTInext"; }
  Result<std::string> test_login() override;
  Result<std::string> place(const Wanted& wanted) override;
  Result<std::optional<std::string>> find(const Wanted& wanted, const std::vector<std::string>& known) override;
  Result<Progress> track(const std::string& order) override;
  Result<Task> task(const std::string& order, const std::string& name, ChallengeKind kind) override;
  Result<Done> verify(const std::string& order, const std::string& name, ChallengeKind kind,
                      const std::string& address) override;
  Result<std::string> download(const std::string& order) override;
  std::unique_ptr<CommercialAccount> make_account() override;
  Result<Done> cancel(const std::string& order, const std::string& why) override;
  Result<Done> revoke(const LeafFacts& leaf, int reason, const std::string& comment) override;
  Result<Settled> revocation_of(const LeafFacts& leaf) override;
  // What was done. An error's problem carries the CA's own code as its type.
  Result<Json> call(const char* operation, Json body, const std::string& what,
                    RestRequest::Effect effect = RestRequest::Effect::reads);
  // All rows of the order report that `wanted` keeps, page by page.
  Result<std::vector<Json>> report(Json criteria, const std::string& what, const std::function<bool(const Json&)>& wanted);
  [[nodiscard]] Error failed(const RestAnswer& answer, const std::string& what) override;
  [[nodiscard]] AccountPace pace() const override;

 protected:
  [[nodiscard]] bool succeeded(const RestAnswer& answer) const override;
  [[nodiscard]] Refusal refusal_in(const RestAnswer& answer) const override;
  Result<RestRequest> signed_request(RestRequest request) override;
  [[nodiscard]] bool may_be_the_clock(const Refusal& refusal) const override;
  [[nodiscard]] RefusalCause cause_of(const Refusal& refusal) const override;

 private:
  [[nodiscard]] Json meta() const;
  [[nodiscard]] Json order_body(const Wanted& wanted) const;
  [[nodiscard]] Json dcv_block(const std::string& order, const std::string& name, ChallengeKind kind) const;
  [[nodiscard]] Progress progress_of(const Json& details) const;

  // The number of the order that brought a certificate. Errors: issuer_refused, when none lists it.
  Result<std::string> order_of(const LeafFacts& leaf);
  // Whether the CA takes our credentials, asked when a refusal may mean that it does not. nullopt: it did not say.
  std::optional<bool> takes_us();
  void name_limit(Error& error, const std::string& what);
  void name_login(Error& error);

  std::mutex mutex_;                         // guards what follows
  std::map<std::string, unsigned> limited_;  // by call: how often in a row the CA did not take it for want of time
};

}  // namespace evercert
