// ChallengeSolver: makes an answer visible to the CA, and takes it away again. One implementation per way of proving.
#pragma once

#include "agent/issuer/issuer.h"
#include "evercert/result.h"

namespace evercert {

class ChallengeSolver {
 public:
  virtual ~ChallengeSolver() = default;
  // Lays the answer out. Presenting the same challenge twice is no error.
  virtual Result<Done> present(const Challenge& challenge) = 0;
  // Whether it can be asked for everywhere by now; where answers take time to spread, not at once. One look, no waiting.
  virtual Result<bool> visible(const Challenge&) { return true; }
  // Idempotent.
  virtual Result<Done> clean_up(const Challenge& challenge) = 0;
};

}  // namespace evercert
