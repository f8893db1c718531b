#include "serving/board/answer_table.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>

namespace evercert::answer_table {

namespace {

constexpr unsigned read_attempts = 1000;
// Answers are open for a day.
constexpr std::uint64_t longest_open_milliseconds = std::uint64_t{48} * 3600 * 1000;
constexpr std::size_t token_words = Board::longest_token / sizeof(std::uint64_t);

// Server names compare without regard to case (RFC 4343); http-01 tokens are exact.
std::string normal_form(ChallengeKind kind, std::string_view token) {
  std::string normal(token);
  if (kind != ChallengeKind::tls_alpn_01) return normal;
  if (normal.ends_with('.')) normal.pop_back();
  std::transform(normal.begin(), normal.end(), normal.begin(),
                 [](char letter) { return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter; });
  return normal;
}

// FNV-1a; it only narrows the search, the token itself is always compared.
std::uint64_t hash_of(ChallengeKind kind, std::string_view token) {
  std::uint64_t hash = 0xcbf29ce484222325 ^ static_cast<std::uint64_t>(kind);
  for (const char letter : token) hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3;
  return hash == 0 ? 1 : hash;
}

// Word by word, each an atomic of its own: a plain copy beside a writer would be a data race.
void store_text(std::span<SharedWord> words, std::string_view text) {
  for (std::size_t at = 0; at < text.size(); at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + at, std::min(sizeof word, text.size() - at));
    words[at / sizeof word].store(word, std::memory_order_release);
  }
}

std::string load_text(std::span<const SharedWord> words, std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t at = 0; at < size; at += sizeof(std::uint64_t)) {
    const std::uint64_t word = words[at / sizeof(std::uint64_t)].load(std::memory_order_acquire);
    std::memcpy(text.data() + at, &word, std::min(sizeof word, size - at));
  }
  return text;
}

struct Text {
  std::uint64_t kind;
  std::string token;
  std::string answer;
};

std::optional<Text> read(const ChallengeEntry& entry) {
  const std::span<const SharedWord> words(entry.text);
  for (unsigned attempt = 0; attempt < read_attempts; ++attempt) {
    const std::uint64_t before = entry.sequence.load(std::memory_order_acquire);
    if ((before & 1) != 0) continue;
    const std::uint64_t shape = entry.shape.load(std::memory_order_acquire);
    const std::size_t token_size = (shape >> 16) & 0xffff;
    const std::size_t answer_size = shape & 0xffff;
    if (token_size > Board::longest_token || answer_size > Board::longest_answer) continue;
    Text text{shape >> 32, load_text(words.first(token_words), token_size), load_text(words.subspan(token_words), answer_size)};
    // The loads above acquire: whoever saw a word of a newer writer also sees that writer's odd number here.
    if (entry.sequence.load(std::memory_order_relaxed) == before) return text;
  }
  return std::nullopt;
}

void write(ChallengeEntry& entry, ChallengeKind kind, std::string_view token, std::string_view answer, std::uint64_t expires) {
  const std::span<SharedWord> words(entry.text);
  const std::uint64_t odd = entry.sequence.load(std::memory_order_relaxed) | 1;  // already odd after a killed writer
  entry.sequence.store(odd, std::memory_order_relaxed);
  entry.shape.store((static_cast<std::uint64_t>(kind) << 32) | (token.size() << 16) | answer.size(), std::memory_order_release);
  entry.expires.store(expires, std::memory_order_release);
  store_text(words.first(token_words), token);
  store_text(words.subspan(token_words), answer);
  entry.sequence.store(odd + 1, std::memory_order_release);
}

bool claim(ChallengeEntry& entry, std::uint64_t from) {
  if (entry.mark.load(std::memory_order_relaxed) != from) return false;
  const std::uint64_t mine = answer_mark(static_cast<std::uint32_t>(::getpid()));
  return entry.mark.compare_exchange_strong(from, mine, std::memory_order_acq_rel);
}

void set_free(BoardLayout& layout, std::uint32_t slot) {
  layout.hashes[slot].store(0, std::memory_order_release);
  layout.challenges[slot].mark.store(answer_free, std::memory_order_release);
}

std::uint32_t used(const BoardLayout& layout) {
  return std::min<std::uint32_t>(layout.challenges_used.load(std::memory_order_acquire), Board::challenge_capacity);
}

bool holds(const BoardLayout& layout, std::uint32_t slot, std::uint64_t hash, ChallengeKind kind, std::string_view token,
           std::string* answer) {
  if (layout.hashes[slot].load(std::memory_order_acquire) != hash) return false;
  auto text = read(layout.challenges[slot]);
  if (!text || text->kind != static_cast<std::uint64_t>(kind) || text->token != token) return false;
  if (answer != nullptr) *answer = std::move(text->answer);
  return true;
}

// Looks again under the claim: another writer may have given the slot to another token in between.
bool claim_held(BoardLayout& layout, std::uint32_t slot, std::uint64_t hash, ChallengeKind kind, std::string_view token) {
  ChallengeEntry& entry = layout.challenges[slot];
  if (!holds(layout, slot, hash, kind, token, nullptr) || !claim(entry, answer_live)) return false;
  if (holds(layout, slot, hash, kind, token, nullptr)) return true;
  entry.mark.store(answer_live, std::memory_order_release);
  return false;
}

// A slot this process may write now: that of an equal token, else a free one.
std::optional<std::uint32_t> claim_slot(BoardLayout& layout, std::uint64_t hash, ChallengeKind kind, std::string_view token) {
  for (std::uint32_t slot = 0, end = used(layout); slot < end; ++slot)
    if (claim_held(layout, slot, hash, kind, token)) return slot;
  for (std::uint32_t slot = 0; slot < Board::challenge_capacity; ++slot) {
    std::uint32_t end = used(layout);
    while (end <= slot && !layout.challenges_used.compare_exchange_weak(end, slot + 1, std::memory_order_acq_rel)) {
    }
    if (claim(layout.challenges[slot], answer_free)) return slot;
  }
  return std::nullopt;
}

bool is_gone(std::uint64_t mark) {
  const auto pid = static_cast<pid_t>(mark >> 32);
  return pid <= 0 || (::kill(pid, 0) != 0 && errno == ESRCH);
}

std::uint64_t milliseconds(std::chrono::system_clock::time_point time) {
  const auto count = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  return count < 0 ? 0 : static_cast<std::uint64_t>(count);
}

}  // namespace

std::optional<ChallengeAnswer> find(const BoardLayout& layout, ChallengeKind kind, std::string_view token) {
  if (token.empty() || token.size() > Board::longest_token) return std::nullopt;
  const std::string normal = normal_form(kind, token);
  const std::uint64_t hash = hash_of(kind, normal);
  ChallengeAnswer found;
  for (std::uint32_t slot = 0, end = used(layout); slot < end; ++slot) {
    if (!holds(layout, slot, hash, kind, normal, &found.answer)) continue;
    found.slot = slot;
    return found;
  }
  return std::nullopt;
}

Result<std::uint32_t> add(BoardLayout& layout, ChallengeKind kind, std::string_view token, std::string_view answer,
                          std::chrono::system_clock::time_point expires) {
  const std::string normal = normal_form(kind, token);
  const std::uint64_t hash = hash_of(kind, normal);
  const auto slot = claim_slot(layout, hash, kind, normal);
  if (!slot)
    return Error{ErrorKind::storage,
                 "the board has no room for another challenge: " + std::to_string(Board::challenge_capacity) + " are open"};
  write(layout.challenges[*slot], kind, normal, answer, milliseconds(expires));
  layout.hashes[*slot].store(hash, std::memory_order_release);
  layout.challenges[*slot].mark.store(answer_live, std::memory_order_release);
  return *slot;
}

void remove(BoardLayout& layout, ChallengeKind kind, std::string_view token) {
  const std::string normal = normal_form(kind, token);
  const std::uint64_t hash = hash_of(kind, normal);
  for (std::uint32_t slot = 0, end = used(layout); slot < end; ++slot)
    if (claim_held(layout, slot, hash, kind, normal)) set_free(layout, slot);
}

void sweep(BoardLayout& layout, std::chrono::system_clock::time_point now) {
  const std::uint64_t present = milliseconds(now);
  for (std::uint32_t slot = 0, end = used(layout); slot < end; ++slot) {
    ChallengeEntry& entry = layout.challenges[slot];
    const std::uint64_t mark = entry.mark.load(std::memory_order_acquire);
    if (mark == answer_free) continue;
    const auto is_due = [&] {
      const std::uint64_t expires = entry.expires.load(std::memory_order_acquire);
      // Further ahead than any answer is open: set by a clock that has been turned back since.
      return expires <= present || expires - present > longest_open_milliseconds;
    };
    if (mark == answer_live && !is_due()) continue;
    if (mark != answer_live && !is_gone(mark)) continue;
    if (!claim(entry, mark)) continue;
    const bool still_due = mark != answer_live || is_due();
    if (still_due)
      set_free(layout, slot);
    else
      entry.mark.store(answer_live, std::memory_order_release);
  }
}

}  // namespace evercert::answer_table
