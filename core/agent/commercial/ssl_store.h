// The SSL Store (thesslstore.com), a reseller of Sectigo's and DigiCert's certificates: every call is a POST that says who
// asks, errors come with HTTP status 200. The CA behind a product decides how a request is written and what proves a name. Made
// by make_issuer() only. Rule: what its documents leave open is a setting or a refusal.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/commercial/rest_api.h"

namespace evercert {

// In MinorStatus while a reissue is under way.
inline constexpr const char* ssl_store_pending_reissue = "PENDING_REISSUE";

class SslStore : public RestApi {
 public:
  SslStore(const IssuerSpec& spec, std::unique_ptr<HttpClient> http, const Clock& clock);

  [[nodiscard]] std::string title() const override { return "The SSL Store"; }
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
  Result<Done> cancel(const std::string& order, const std::string& why) override;
  Result<Done> revoke(const LeafFacts& leaf, int reason, const std::string& comment) override;
  Result<Settled> revocation_of(const LeafFacts& leaf) override;

 protected:
  // Says who asks, in the body.
  Result<RestRequest> signed_request(RestRequest request) override;
  [[nodiscard]] bool succeeded(const RestAnswer& answer) const override;
  [[nodiscard]] Refusal refusal_in(const RestAnswer& answer) const override;
  [[nodiscard]] RefusalCause cause_of(const Refusal& refusal) const override;

 private:
  // Whether DigiCert, not Sectigo, is behind the product.
  [[nodiscard]] bool is_digicert() const { return spec_.purchase.product.starts_with("digi"); }
  [[nodiscard]] const char* method_word(ChallengeKind kind) const;
  // Request, way of proving and hash, in the words of the CA behind the product; what orders and reissues share.
  [[nodiscard]] Json request_body(const Wanted& wanted, const char* approvers) const;
  [[nodiscard]] Json contact(const Person& person) const;
  [[nodiscard]] Json organization() const;
  Result<Json> row_of(const LeafFacts& leaf);
  Result<Json> vetting_of(const std::string& order, const std::string& name);
  Result<Json> status_of(const std::string& order, const std::string& what);
};

}  // namespace evercert
