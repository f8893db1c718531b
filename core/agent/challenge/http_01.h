// Validation by HTTP: ACME's HTTP-01 (RFC 8555 section 8.3), and the files below /.well-known/pki-validation/ that other CAs
// ask for. The answer is put where the server on port 80 finds it. Answers stay for a while after they are cleaned up, because
// CAs ask from several places and not all at once.
#pragma once

#include <chrono>
#include <memory>
#include <string_view>
#include <vector>

#include "agent/challenge/open_answers.h"
#include "agent/challenge/solver.h"
#include "serving/base/clock.h"

namespace evercert {

class Http01 : public ChallengeSolver {
 public:
  static constexpr std::chrono::hours open_time{24};
  static constexpr std::chrono::seconds time_after{60};

  // Every answer goes to all places, in this order: the store first, so that no other server is asked before it can know.
  Http01(std::vector<AnswerPlace*> places, const Clock& clock) : places_(std::move(places)), clock_(clock) {}

  Result<Done> present(const Challenge& challenge) override;
  Result<Done> clean_up(const Challenge& challenge) override;

 private:
  Result<Done> put(const Challenge& challenge, std::chrono::system_clock::duration open);

  const std::vector<AnswerPlace*> places_;
  const Clock& clock_;
};

// A token as RFC 8555 section 8.3 allows it: base64url and nothing else. It becomes part of a path.
bool is_token(std::string_view text);

}  // namespace evercert
