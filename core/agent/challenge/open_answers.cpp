#include "agent/challenge/open_answers.h"

#include "serving/base/bounds.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

constexpr const char* answers_prefix = "challenges/";

std::string key_of(const OpenAnswer& answer) {
  const Bytes token(answer.token.begin(), answer.token.end());
  return answers_prefix + std::string(to_string(answer.kind)) + "." + to_hex(sha256(token)).substr(0, 40) + ".answer";
}

std::optional<ChallengeKind> kind_of_word(std::string_view word) {
  for (const auto kind :
       {ChallengeKind::http_01, ChallengeKind::tls_alpn_01, ChallengeKind::dns_01, ChallengeKind::http_file}) {
    if (word == to_string(kind)) return kind;
  }
  return std::nullopt;
}

OpenAnswer answer_from(const Json& json) {
  const auto kind = kind_of_word(json.at("kind").get<std::string>());
  if (!kind) throw std::runtime_error("unknown kind of challenge");
  return {*kind, json.at("token").get<std::string>(), json.at("answer").get<std::string>(),
          moment_of(json.at("expires").get<std::int64_t>())};
}

RecordPlace place_of(const std::string& key) {
  return {SealedKind::challenge, key, key, "the challenge answer " + key};
}

}  // namespace

Result<Done> BoardAnswers::put(const OpenAnswer& answer) {
  auto added = board_.add_answer(answer.kind, answer.token, answer.answer, answer.expires);
  if (!added) return added.error();
  return Done{};
}

Result<Done> StoredAnswers::put(const OpenAnswer& answer) {
  // After a power cut the order is carried on and its answers are put here again.
  return records_.save(place_of(key_of(answer)),
                       {{"kind", to_string(answer.kind)},
                        {"token", answer.token},
                        {"answer", answer.answer},
                        {"expires", std::chrono::system_clock::to_time_t(answer.expires)}},
                       {.durability = Durability::process});
}

Result<std::optional<OpenAnswer>> StoredAnswers::get(const std::string& key) {
  std::optional<OpenAnswer> answer;
  const auto found = records_.load(place_of(key), [&](const Json& json) { answer = answer_from(json); });
  if (!found) return found.error();
  if (found->damaged) return *found->damaged;
  return answer;
}

// Answers are open for a day.
constexpr std::chrono::hours longest_open{48};

Result<std::vector<OpenAnswer>> StoredAnswers::sweep(std::chrono::system_clock::time_point now) {
  auto keys = store_.list(answers_prefix);
  if (!keys) return keys.error();
  std::vector<OpenAnswer> open;
  for (const auto& key : *keys) {
    auto answer = get(key);
    // One that cannot be read is no reason to leave the others unanswered.
    if (!answer || !*answer) continue;
    if (is_still_ahead((*answer)->expires, now, longest_open)) {
      open.push_back(std::move(**answer));
    } else if (auto erased = store_.erase(key); !erased) {
      return erased.error();
    }
  }
  return open;
}

}  // namespace evercert
