#include "agent/challenge/open_answers.h"

#include "serving/base/bounds.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"
#include "serving/store/seal.h"

namespace evercert {
namespace {

constexpr std::int64_t answer_format = 1;
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

Error damaged(const std::string& key) {
  return {ErrorKind::storage, "the challenge answer " + key + " is damaged"};
}

Result<OpenAnswer> parse_answer(const Secret& content, const std::string& key) {
  auto json = parse_json(content.text(), key);
  if (!json) return damaged(key);
  auto kind = json_text(*json, "kind", key);
  auto token = json_text(*json, "token", key);
  auto answer = json_text(*json, "answer", key);
  auto expires = json_number(*json, "expires", key);
  if (!kind || !token || !answer || !expires) return damaged(key);
  const auto known = kind_of_word(*kind);
  if (!known) return damaged(key);
  return OpenAnswer{*known, *token, *answer, moment_of(*expires)};
}

}  // namespace

Result<Done> BoardAnswers::put(const OpenAnswer& answer) {
  auto added = board_.add_answer(answer.kind, answer.token, answer.answer, answer.expires);
  if (!added) return added.error();
  return Done{};
}

Result<Done> StoredAnswers::put(const OpenAnswer& answer) {
  const std::string key = key_of(answer);
  const std::string json = dump_json({{"format", answer_format},
                                      {"kind", to_string(answer.kind)},
                                      {"token", answer.token},
                                      {"answer", answer.answer},
                                      {"expires", std::chrono::system_clock::to_time_t(answer.expires)}});
  auto sealed = seal(seal_key_, {SealedKind::challenge, key}, Bytes(json.begin(), json.end()));
  if (!sealed) return sealed.error();
  // After a power cut the order is carried on and its answers are put here again.
  Store::PutOptions options;
  options.durability = Durability::process;
  auto put = store_.put(key, *sealed, options);
  if (!put) return put.error();
  return Done{};
}

Result<std::optional<OpenAnswer>> StoredAnswers::get(const std::string& key) {
  auto object = store_.get(key);
  if (!object) return object.error();
  if (!*object) return std::optional<OpenAnswer>();
  const Unsealed opened = unseal(seal_key_, {SealedKind::challenge, key}, (*object)->value);
  if (opened.fault) return seal_error(*opened.fault, "the challenge answer " + key);
  auto answer = parse_answer(opened.content, key);
  if (!answer) return answer.error();
  return std::optional<OpenAnswer>(std::move(*answer));
}

// Answers are open for a day.
constexpr std::chrono::hours longest_open{48};

Result<std::vector<OpenAnswer>> StoredAnswers::sweep(std::chrono::system_clock::time_point now) {
  auto keys = store_.list(answers_prefix);
  if (!keys) return keys.error();
  std::vector<OpenAnswer> open;
  for (const auto& key : *keys) {
    auto answer = get(key);
    // One that cannot be read is no reason to leave the others unanswered; it is of no use to anybody in a day.
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
