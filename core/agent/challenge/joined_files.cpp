#include "agent/challenge/joined_files.h"

#include <algorithm>

namespace evercert {
namespace {

constexpr std::string_view shared_file = "/fileauth.txt";

}  // namespace

OpenAnswer JoinedFiles::joined(const OpenAnswer& answer) {
  const std::lock_guard lock(mutex_);
  auto& open = open_[answer.token];
  std::erase_if(open, [&](const OpenAnswer& one) { return one.answer == answer.answer || one.expires <= clock_.now(); });
  // The newest first: CAs read the beginning of a file, and the board has room for so many.
  open.insert(open.begin(), answer);
  OpenAnswer all = answer;
  for (std::size_t i = 1; i < open.size(); ++i) {
    if (all.answer.size() + 1 + open[i].answer.size() > Board::longest_answer) break;
    all.answer += "\n" + open[i].answer;
    all.expires = std::max(all.expires, open[i].expires);
  }
  std::erase_if(open_, [&](const auto& entry) {
    return std::all_of(entry.second.begin(), entry.second.end(), [&](const auto& one) { return one.expires <= clock_.now(); });
  });
  return all;
}

Result<Done> JoinedFiles::put(const OpenAnswer& answer) {
  const bool shared = answer.kind == ChallengeKind::http_file && answer.token.ends_with(shared_file);
  const OpenAnswer all = shared ? joined(answer) : answer;
  for (AnswerPlace* place : places_) {
    if (auto done = place->put(all); !done) return done;
  }
  return Done{};
}

}  // namespace evercert
