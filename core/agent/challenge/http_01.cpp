#include "agent/challenge/http_01.h"

#include <algorithm>

namespace evercert {

bool is_token(std::string_view text) {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return !text.empty() && text.size() <= 256 && text.find_first_not_of(alphabet) == std::string_view::npos;
}

namespace {

// "www.example.com/fileauth.txt": files of one name differ between hosts.
bool is_file_token(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos || slash == 0) return false;
  std::string name(text.substr(slash + 1));
  std::replace(name.begin(), name.end(), '.', '-');
  return text.size() <= Board::longest_token && is_token(name);
}

}  // namespace

Result<Done> Http01::present(const Challenge& challenge) {
  return put(challenge, open_time);
}

Result<Done> Http01::clean_up(const Challenge& challenge) {
  return put(challenge, time_after);
}

Result<Done> Http01::put(const Challenge& challenge, std::chrono::system_clock::duration open) {
  const bool file = challenge.kind == ChallengeKind::http_file;
  if (file ? !is_file_token(challenge.token) : !is_token(challenge.token)) {
    return Error{ErrorKind::issuer_refused,
                 (file ? "the CA's file name for " : "the CA's token for ") + challenge.identifier.value +
                     " is too long or holds characters that none may have" + (file ? "" : " (RFC 8555 section 8.3)")};
  }
  const OpenAnswer answer{challenge.kind, challenge.token, challenge.answer, clock_.now() + open};
  for (AnswerPlace* place : places_) {
    if (auto done = place->put(answer); !done) {
      return done.error().with_prefix("the answer for " + challenge.identifier.value + " could not be laid out");
    }
  }
  return Done{};
}

}  // namespace evercert
