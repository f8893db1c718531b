// How the board lies in memory. For the board itself, and for tests that play a writer which was killed.
// Rules: everything that several processes touch is an atomic; a change of any line here needs a new layout version.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "evercert/board.h"

namespace evercert {

constexpr std::uint64_t board_magic = 0x6472616f42637665;  // "evcBoard" in little-endian memory
constexpr std::uint32_t board_layout_version = 1;

using SharedWord = std::atomic<std::uint64_t>;
static_assert(SharedWord::is_always_lock_free, "a lock inside shared memory would die with its holder");
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);
static_assert(sizeof(SharedWord) == 8);

// Two halves of a 128-bit hash of the name, neither ever 0. `low` is claimed first: whoever finds its own `low` without a
// `high` completes it, so that a writer killed in between blocks nobody and readers never match half a name.
struct alignas(64) CertificateEntry {
  SharedWord low;
  SharedWord high;
  SharedWord generation;
};
static_assert(sizeof(CertificateEntry) == 64);

constexpr std::uint64_t answer_free = 0;
constexpr std::uint64_t answer_live = 1;  // any other mark: being written by the process of that pid
constexpr std::uint64_t answer_mark(std::uint32_t pid) {
  return (std::uint64_t{pid} << 32) | 2;
}

struct alignas(64) ChallengeEntry {
  static constexpr std::size_t words = (Board::longest_token + Board::longest_answer) / 8;
  SharedWord mark;      // who may write
  SharedWord sequence;  // odd while it is written
  SharedWord shape;     // kind, token length, answer length
  SharedWord expires;   // milliseconds since 1970
  std::array<SharedWord, words> text;
};

struct BoardLayout {
  // Written once by create(), before anybody else knows of the board.
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t certificate_capacity;
  std::uint32_t challenge_capacity;
  std::uint32_t certificates_at;  // offsets, so that a look at the bytes explains itself; never used to compute an address
  std::uint32_t hashes_at;
  std::uint32_t challenges_at;

  alignas(64) SharedWord heartbeat;                        // milliseconds since 1970, times two, plus one for a leader
  alignas(64) std::atomic<std::uint32_t> challenges_used;  // no slot at or above it was ever claimed

  // Each table begins on a page of its own: what is not used is never touched.
  alignas(4096) std::array<SharedWord, Board::challenge_capacity> hashes;  // 0: nothing to be found there
  alignas(4096) std::array<ChallengeEntry, Board::challenge_capacity> challenges;
  alignas(4096) std::array<CertificateEntry, Board::certificate_capacity> certificates;
};

}  // namespace evercert
