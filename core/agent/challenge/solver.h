// ChallengeSolver: makes an answer visible to the CA, and takes it away again. One implementation per kind of challenge.
#pragma once

#include "agent/issuer/issuer.h"
#include "evercert/result.h"

namespace evercert {

class ChallengeSolver {
 public:
  virtual ~ChallengeSolver() = default;
  [[nodiscard]] virtual ChallengeKind kind() const = 0;
  // Returns once the answer can be asked for. Presenting the same challenge twice is no error.
  virtual Result<Done> present(const Challenge& challenge) = 0;
  // Idempotent.
  virtual Result<Done> clean_up(const Challenge& challenge) = 0;
};

}  // namespace evercert
