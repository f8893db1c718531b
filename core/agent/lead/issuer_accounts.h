// The CA accounts that plans speak of, each made once however many certificates and plans use it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "agent/lead/make_issuer.h"
#include "agent/renewal/renewal.h"

namespace evercert {

class IssuerAccounts {
 public:
  // Tests put another maker of issuers here.
  using Maker = std::function<Result<std::unique_ptr<Issuer>>(const IssuerSpec&)>;
  // Made for an issuer.
  using SolverMaker = std::function<std::unique_ptr<ChallengeSolver>(const IssuerSpec&)>;
  IssuerAccounts(Maker make, SolverMaker make_solver, Events& events)
      : make_(std::move(make)), make_solver_(std::move(make_solver)), events_(events) {}

  // nullopt: it cannot be made; the reason was told.
  std::optional<IssuerAccess> access(const IssuerSpec& spec);
  // Forgets accounts that none of these plans speaks of. Who still works with one keeps it until that is done.
  void keep(const std::set<std::shared_ptr<const Plan>>& plans);
  // Those that were asked for so far.
  [[nodiscard]] std::vector<std::shared_ptr<Issuer>> issuers();

 private:
  const Maker make_;
  const SolverMaker make_solver_;
  Events& events_;
  std::mutex mutex_;
  std::map<std::string, IssuerAccess> issuer_accounts_;  // by all that matters of the specification
};

}  // namespace evercert
