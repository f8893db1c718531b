// DigiCert CertCentral, Services API v2: an API key in a header, errors as a list of codes and messages. Made by make_issuer()
// only.
// Rule: what its documents leave open is a setting or a refusal.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/commercial/rest_api.h"

namespace evercert {

class DigiCert : public RestApi {
 public:
  DigiCert(const IssuerSpec& spec, std::unique_ptr<HttpClient> http, const Clock& clock);

  [[nodiscard]] std::string title() const override { return "CertCentral"; }
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
  [[nodiscard]] AccountPace pace() const override;

 protected:
  Result<RestRequest> signed_request(RestRequest request) override;
  [[nodiscard]] Refusal refusal_in(const RestAnswer& answer) const override;
  [[nodiscard]] RefusalCause cause_of(const Refusal& refusal) const override;

 private:
  [[nodiscard]] Json certificate_body(const Wanted& wanted) const;
  static std::string order_path(const std::string& order) { return "order/certificate/" + order; }
  // How the names of an order are proved, as far as we have said so: one that was placed elsewhere may want another way.
  void remember(const std::string& order, ChallengeKind kind);
  [[nodiscard]] bool is_proved_by(const std::string& order, ChallengeKind kind) const;

  mutable std::mutex mutex_;  // guards what follows
  std::map<std::string, ChallengeKind> ways_;
};

}  // namespace evercert
