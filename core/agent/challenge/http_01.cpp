#include "agent/challenge/http_01.h"

namespace evercert {

bool is_token(std::string_view text) {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return !text.empty() && text.size() <= 256 && text.find_first_not_of(alphabet) == std::string_view::npos;
}

Result<Done> Http01::present(const Challenge& challenge) {
  return put(challenge, open_time);
}

Result<Done> Http01::clean_up(const Challenge& challenge) {
  return put(challenge, time_after);
}

Result<Done> Http01::put(const Challenge& challenge, std::chrono::system_clock::duration open) {
  if (!is_token(challenge.token)) {
    return Error{ErrorKind::issuer_refused, "the CA's token for " + challenge.identifier.value +
                                                " holds characters that no token may have (RFC 8555 section 8.3)"};
  }
  const OpenAnswer answer{ChallengeKind::http_01, challenge.token, challenge.answer, clock_.now() + open};
  for (AnswerPlace* place : places_) {
    if (auto done = place->put(answer); !done) {
      return done.error().with_prefix("the answer for " + challenge.identifier.value + " could not be laid out");
    }
  }
  return Done{};
}

}  // namespace evercert
