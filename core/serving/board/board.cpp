#include "evercert/board.h"

#include <openssl/sha.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "evercert/descriptor.h"
#include "serving/board/answer_table.h"
#include "serving/board/board_layout.h"
#include "serving/platform/memory_file.h"

namespace evercert {

// A certificate name as the board knows it.
struct NameHash {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  bool operator==(const NameHash&) const = default;
};

struct NameHashOf {
  std::size_t operator()(const NameHash& hash) const { return hash.low; }
};

namespace {

NameHash hash_of(std::string_view name) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  ::SHA256(reinterpret_cast<const unsigned char*>(name.data()), name.size(), digest.data());
  NameHash hash;
  std::memcpy(&hash.low, digest.data(), sizeof hash.low);
  std::memcpy(&hash.high, digest.data() + sizeof hash.low, sizeof hash.high);
  if (hash.low == 0) hash.low = 1;
  if (hash.high == 0) hash.high = 1;
  return hash;
}

// Raises `word` to `value`; never lowers it.
void raise_to(SharedWord& word, std::uint64_t value) {
  std::uint64_t present = word.load(std::memory_order_relaxed);
  while (present < value && !word.compare_exchange_weak(present, value, std::memory_order_release, std::memory_order_relaxed)) {
  }
}

Error read_only_error() {
  return {ErrorKind::internal, "the board is mapped for reading only"};
}

}  // namespace

// Without it the search for n names would walk n * n / 2 slots.
class Board::SlotIndex {
 public:
  std::optional<CertificateSlot> find(const BoardLayout& layout, const NameHash& hash) {
    const std::lock_guard guard(mutex_);
    read_new(layout);
    return known(hash);
  }

  std::optional<CertificateSlot> add(BoardLayout& layout, const NameHash& hash) {
    const std::lock_guard guard(mutex_);
    read_new(layout);
    if (const auto slot = known(hash)) return slot;
    // All writers try the slots in the same order and skip none that could become their own: no name gets two slots.
    for (const CertificateSlot slot : half_written_)
      if (take(layout.certificates[slot], hash)) return slot;
    for (; next_ < Board::certificate_capacity; ++next_) {
      if (take(layout.certificates[next_], hash)) return next_;
      read(layout, next_);
    }
    return std::nullopt;
  }

 private:
  static bool take(CertificateEntry& entry, const NameHash& hash) {
    std::uint64_t low = 0;
    if (!entry.low.compare_exchange_strong(low, hash.low, std::memory_order_acq_rel) && low != hash.low) return false;
    std::uint64_t high = 0;
    return entry.high.compare_exchange_strong(high, hash.high, std::memory_order_acq_rel) || high == hash.high;
  }

  // False: nobody has claimed the slot yet.
  bool read(const BoardLayout& layout, CertificateSlot slot) {
    const CertificateEntry& entry = layout.certificates[slot];
    const std::uint64_t low = entry.low.load(std::memory_order_acquire);
    if (low == 0) return false;
    if (const std::uint64_t high = entry.high.load(std::memory_order_acquire))
      slots_.emplace(NameHash{low, high}, slot);
    else
      half_written_.push_back(slot);
    return true;
  }

  void read_new(const BoardLayout& layout) {
    for (const CertificateSlot slot : std::exchange(half_written_, {})) read(layout, slot);
    while (next_ < Board::certificate_capacity && read(layout, next_)) ++next_;
  }

  std::optional<CertificateSlot> known(const NameHash& hash) const {
    const auto found = slots_.find(hash);
    return found == slots_.end() ? std::nullopt : std::optional(found->second);
  }

  std::mutex mutex_;
  std::unordered_map<NameHash, CertificateSlot, NameHashOf> slots_;
  std::vector<CertificateSlot> half_written_;
  CertificateSlot next_ = 0;
};

Result<Descriptor> Board::create() {
  auto file = make_fixed_memory_file("evercert-board", sizeof(BoardLayout));
  if (!file) return file;
  auto memory = map_memory_file(file->get(), sizeof(BoardLayout), true, "board");
  if (!memory) return memory.error();
  auto* layout = static_cast<BoardLayout*>(*memory);
  layout->magic = board_magic;
  layout->version = board_layout_version;
  layout->certificate_capacity = certificate_capacity;
  layout->challenge_capacity = challenge_capacity;
  layout->certificates_at = offsetof(BoardLayout, certificates);
  layout->hashes_at = offsetof(BoardLayout, hashes);
  layout->challenges_at = offsetof(BoardLayout, challenges);
  unmap_memory(layout, sizeof(BoardLayout));
  return file;
}

Result<Descriptor> Board::read_only(int descriptor) {
  return reopen_read_only(descriptor);
}

Result<Board> Board::map(int descriptor, Access access) {
  auto memory = map_memory_file(descriptor, sizeof(BoardLayout), access == Access::write, "board");
  if (!memory) return memory.error();
  Board board(static_cast<BoardLayout*>(*memory), access);
  const BoardLayout& layout = *board.layout_;
  if (layout.magic != board_magic)
    return Error{ErrorKind::storage, "the memory file handed over as the board is something else"};
  if (layout.version != board_layout_version)
    return Error{ErrorKind::storage, "the board has layout version " + std::to_string(layout.version) + " instead of " +
                                         std::to_string(board_layout_version) +
                                         ": module and program are of different releases; restart the server"};
  if (layout.certificate_capacity != certificate_capacity || layout.challenge_capacity != challenge_capacity ||
      layout.certificates_at != offsetof(BoardLayout, certificates) || layout.hashes_at != offsetof(BoardLayout, hashes) ||
      layout.challenges_at != offsetof(BoardLayout, challenges))
    return Error{ErrorKind::storage, "the board's header is damaged"};
  return board;
}

Board::Board(BoardLayout* layout, Access access)
    : layout_(layout), index_(std::make_unique<SlotIndex>()), writable_(access == Access::write) {}

Board::Board(Board&& other) noexcept
    : layout_(std::exchange(other.layout_, nullptr)), index_(std::move(other.index_)), writable_(other.writable_) {}

Board& Board::operator=(Board&& other) noexcept {
  std::swap(layout_, other.layout_);
  std::swap(index_, other.index_);
  std::swap(writable_, other.writable_);
  return *this;
}

Board::~Board() {
  unmap_memory(layout_, sizeof(BoardLayout));
}

std::optional<CertificateSlot> Board::find(std::string_view certificate) const {
  return index_->find(*layout_, hash_of(certificate));
}

Result<CertificateSlot> Board::add(std::string_view certificate) {
  if (!writable_) return read_only_error();
  if (const auto slot = index_->add(*layout_, hash_of(certificate))) return *slot;
  return Error{ErrorKind::storage, "the board is full: " + std::to_string(certificate_capacity) +
                                       " certificates have been on it since the server was started; restart the server"};
}

std::uint64_t Board::generation(CertificateSlot slot) const {
  return slot < certificate_capacity ? layout_->certificates[slot].generation.load(std::memory_order_acquire) : 0;
}

void Board::publish(CertificateSlot slot, std::uint64_t generation) {
  if (writable_ && slot < certificate_capacity) raise_to(layout_->certificates[slot].generation, generation);
}

std::optional<ChallengeAnswer> Board::find_answer(ChallengeKind kind, std::string_view token) const {
  return answer_table::find(*layout_, kind, token);
}

Result<std::uint32_t> Board::add_answer(ChallengeKind kind, std::string_view token, std::string_view answer,
                                        std::chrono::system_clock::time_point expires) {
  if (!writable_) return read_only_error();
  if (token.empty() || token.size() > longest_token || answer.size() > longest_answer)
    return Error{ErrorKind::internal, "a challenge answer does not fit the board: token of " + std::to_string(token.size()) +
                                          " bytes, answer of " + std::to_string(answer.size()) + " bytes"};
  return answer_table::add(*layout_, kind, token, answer, expires);
}

void Board::remove_answer(ChallengeKind kind, std::string_view token) {
  if (writable_) answer_table::remove(*layout_, kind, token);
}

void Board::sweep_answers(std::chrono::system_clock::time_point now) {
  if (writable_) answer_table::sweep(*layout_, now);
}

void Board::beat(std::chrono::system_clock::time_point now, bool leader) {
  if (!writable_) return;
  const auto at = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  layout_->heartbeat.store(static_cast<std::uint64_t>(at) * 2 + (leader ? 1 : 0), std::memory_order_release);
}

Heartbeat Board::heartbeat() const {
  const std::uint64_t packed = layout_->heartbeat.load(std::memory_order_acquire);
  const auto at = std::chrono::milliseconds(static_cast<std::int64_t>(packed / 2));
  return {std::chrono::system_clock::time_point(at), (packed & 1) != 0};
}

}  // namespace evercert
