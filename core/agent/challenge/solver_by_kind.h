// For CAs that take several kinds of proof, one after the other: each challenge goes to the solver of its kind.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "agent/challenge/solver.h"

namespace evercert {

class SolverByKind : public ChallengeSolver {
 public:
  explicit SolverByKind(std::map<ChallengeKind, std::shared_ptr<ChallengeSolver>> solvers) : solvers_(std::move(solvers)) {}

  Result<Done> present(const Challenge& challenge) override {
    auto* solver = solver_of(challenge);
    return solver == nullptr ? Result<Done>(nobody(challenge)) : solver->present(challenge);
  }
  Result<bool> visible(const Challenge& challenge) override {
    auto* solver = solver_of(challenge);
    return solver == nullptr ? Result<bool>(nobody(challenge)) : solver->visible(challenge);
  }
  Result<Done> clean_up(const Challenge& challenge) override {
    auto* solver = solver_of(challenge);
    return solver == nullptr ? Result<Done>(nobody(challenge)) : solver->clean_up(challenge);
  }

 private:
  ChallengeSolver* solver_of(const Challenge& challenge) const {
    const auto found = solvers_.find(challenge.kind);
    return found == solvers_.end() ? nullptr : found->second.get();
  }
  static Error nobody(const Challenge& challenge) {
    return {ErrorKind::internal, std::string("nothing here lays out challenges of the kind ") + to_string(challenge.kind)};
  }

  const std::map<ChallengeKind, std::shared_ptr<ChallengeSolver>> solvers_;
};

}  // namespace evercert
