// The verbs about accounts at commercial CAs: import, which takes over what exists there, and sync, which reads what the CA
// offers. Part of verbs.h's work. Main thread only; imports are jobs of the leader's workers, one request to the CA a step.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "agent/control/control_server.h"
#include "agent/lead/leader.h"
#include "agent/verbs/account_import.h"

namespace evercert {

class AccountVerbs {
 public:
  using Work = std::function<void(ControlServer::Client client, std::function<Result<std::string>()> action)>;
  // `work`: runs on a worker and answers the client.
  AccountVerbs(AgentContext& context, Leader& leader, ControlServer& server, Work work)
      : context_(context), leader_(leader), server_(server), work_(std::move(work)) {}

  void import(ControlServer::Client client, const nlohmann::json& request);
  void sync(ControlServer::Client client, const nlohmann::json& request);
  // Nobody waits for its import any more: it ends after the step that runs.
  void gone(ControlServer::Client client);
  // That certificates may be ordered from.
  [[nodiscard]] std::vector<std::string> issuers() const;

 private:
  struct Running {
    ControlServer::Client client;
    std::shared_ptr<std::atomic<bool>> ended;
  };
  Result<AccountImport::Wish> wish_of(const nlohmann::json& request, const std::string& issuer) const;
  void begin(ControlServer::Client client, const IssuerAccess& access, IssuerAccount& account, AccountImport::Wish wish);
  // Of the first configured certificate that may be ordered from it; nullopt: none names it, or it cannot be used.
  std::optional<IssuerAccess> access_of(const std::string& issuer) const;
  [[nodiscard]] std::vector<std::string> issuers_with_account() const;

  AgentContext& context_;
  Leader& leader_;
  ControlServer& server_;
  Work work_;
  std::map<std::string, Running> running_;  // imports, by issuer
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace evercert
