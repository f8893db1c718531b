// The board: a shared page on which the agent tells the processes that serve which generation of each certificate is
// current and which challenge answers are open; and the report page on which they tell the agent what they saw.
//
// The board is an anonymous memory file sealed against shrinking, made by a server's starter before it forks workers; it
// outlives reloads. Workers map it read-only and check every offset. Memory is sparse: only what is used is ever touched, so
// the board is made for its largest size at once and never grows. No private keys.
//
// Writers (the starter before the fork, the old and the new agent while both live) need no lock: slots are appended
// atomically, a generation only ever rises, an answer is claimed by compare-and-swap. All writers of a board live in one pid
// namespace: a claim names its writer's pid, so that a dead one's can be taken back.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "evercert/descriptor.h"
#include "evercert/plan.h"
#include "evercert/result.h"

namespace evercert {

using CertificateSlot = std::uint32_t;

struct ChallengeAnswer {
  std::string answer;  // the key authorization, or what the CA wants to read
  std::uint32_t slot;  // to report the hit
};

struct Heartbeat {
  std::chrono::system_clock::time_point at;  // when the agent last said it lives
  bool leader = false;
};

struct BoardLayout;

class Board {
 public:
  enum class Access { read, write };
  static constexpr std::size_t certificate_capacity = std::size_t{1} << 20;
  static constexpr std::size_t challenge_capacity = 8192;
  static constexpr std::size_t longest_token = 256;  // a server name may be 253 long
  static constexpr std::size_t longest_answer = 512;

  // A new, empty board: memory file with its seals, mode 0600.
  static Result<Descriptor> create();
  // A second descriptor of the same board that can never be mapped for writing, for the workers.
  static Result<Descriptor> read_only(int descriptor);
  // Refuses another layout version, a size that does not fit, a missing seal (storage).
  static Result<Board> map(int descriptor, Access access);
  Board(Board&& other) noexcept;
  Board& operator=(Board&& other) noexcept;
  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;
  ~Board();

  // --- what is served ---
  // The slot of a certificate. Both take a lock within this process: ask once and keep the number.
  [[nodiscard]] std::optional<CertificateSlot> find(std::string_view certificate) const;
  // The same, appended if new. Fails (storage) when the board is full.
  Result<CertificateSlot> add(std::string_view certificate);
  // 0: nothing to serve yet. One atomic load.
  [[nodiscard]] std::uint64_t generation(CertificateSlot slot) const;
  // Raises the generation; a lower number than the present one is ignored.
  void publish(CertificateSlot slot, std::uint64_t generation);

  // --- open challenges ---
  // `token` is what the CA asks for: the last path segment for http-01, the server name for tls-alpn-01.
  [[nodiscard]] std::optional<ChallengeAnswer> find_answer(ChallengeKind kind, std::string_view token) const;
  // Returns the slot. Replaces the answer of an equal token. Fails (storage) when full, (internal) when too long.
  Result<std::uint32_t> add_answer(ChallengeKind kind, std::string_view token, std::string_view answer,
                                   std::chrono::system_clock::time_point expires);
  void remove_answer(ChallengeKind kind, std::string_view token);
  // Frees answers whose time has passed, and slots that a killed writer left half-claimed.
  void sweep_answers(std::chrono::system_clock::time_point now);

  // --- sign of life ---
  void beat(std::chrono::system_clock::time_point now, bool leader);
  [[nodiscard]] Heartbeat heartbeat() const;

 private:
  class SlotIndex;  // what this process has read of the slots so far
  Board(BoardLayout* layout, Access access);

  BoardLayout* layout_ = nullptr;
  std::unique_ptr<SlotIndex> index_;
  bool writable_ = false;
};

// What workers tell the agent. Everything here is a hint from a process that faces the network: it may hasten a poll, it
// decides nothing. There is nothing to check on the page itself, workers could write anything there: only its size and seals
// are looked at, and the board's layout version holds for both.
class ReportPage {
 public:
  static Result<Descriptor> create();
  static Result<ReportPage> map(int descriptor);
  ReportPage(ReportPage&& other) noexcept;
  ReportPage& operator=(ReportPage&& other) noexcept;
  ReportPage(const ReportPage&) = delete;
  ReportPage& operator=(const ReportPage&) = delete;
  ~ReportPage();

  void hit(std::uint32_t challenge_slot);  // a validation request for that answer was served
  [[nodiscard]] std::uint32_t hits(std::uint32_t challenge_slot) const;
  void reset_hits(std::uint32_t challenge_slot);
  void loaded(CertificateSlot slot, std::uint64_t generation);  // some worker serves this generation now
  [[nodiscard]] std::uint64_t loaded(CertificateSlot slot) const;

 private:
  struct Layout;
  explicit ReportPage(Layout* layout) : layout_(layout) {}

  Layout* layout_ = nullptr;
};

// Looks up an open challenge for a client, reports the hit (`report` may be null) and wakes the agent by its eventfd (or -1).
std::optional<std::string> answer_challenge(const Board& board, ReportPage* report, int wake, ChallengeKind kind,
                                            std::string_view token);

// The same for a GET or HEAD on the port for plain HTTP: ACME's challenges (RFC 8555 section 8.3), and the files below
// /.well-known/pki-validation/ that other CAs ask for, which are the host's own.
std::optional<std::string> answer_http_challenge(const Board& board, ReportPage* report, int wake, std::string_view host,
                                                 std::string_view path);

}  // namespace evercert
