#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "evercert/board.h"
#include "evercert/descriptor.h"
#include "serving/platform/memory_file.h"

namespace evercert {

struct ReportPage::Layout {
  std::array<std::atomic<std::uint32_t>, Board::challenge_capacity> hits;
  alignas(4096) std::array<std::atomic<std::uint64_t>, Board::certificate_capacity> loaded;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free);

Result<Descriptor> ReportPage::create() {
  return make_fixed_memory_file("evercert-report", sizeof(Layout));
}

Result<ReportPage> ReportPage::map(int descriptor) {
  auto memory = map_memory_file(descriptor, sizeof(Layout), true, "report page");
  if (!memory) return memory.error();
  return ReportPage(static_cast<Layout*>(*memory));
}

ReportPage::ReportPage(ReportPage&& other) noexcept : layout_(std::exchange(other.layout_, nullptr)) {}

ReportPage& ReportPage::operator=(ReportPage&& other) noexcept {
  std::swap(layout_, other.layout_);
  return *this;
}

ReportPage::~ReportPage() {
  unmap_memory(layout_, sizeof(Layout));
}

void ReportPage::hit(std::uint32_t challenge_slot) {
  if (challenge_slot < Board::challenge_capacity) layout_->hits[challenge_slot].fetch_add(1, std::memory_order_acq_rel);
}

std::uint32_t ReportPage::hits(std::uint32_t challenge_slot) const {
  return challenge_slot < Board::challenge_capacity ? layout_->hits[challenge_slot].load(std::memory_order_acquire) : 0;
}

void ReportPage::reset_hits(std::uint32_t challenge_slot) {
  if (challenge_slot < Board::challenge_capacity) layout_->hits[challenge_slot].store(0, std::memory_order_release);
}

void ReportPage::loaded(CertificateSlot slot, std::uint64_t generation) {
  if (slot >= Board::certificate_capacity) return;
  auto& word = layout_->loaded[slot];
  std::uint64_t present = word.load(std::memory_order_relaxed);
  while (present < generation && !word.compare_exchange_weak(present, generation, std::memory_order_acq_rel)) {
  }
}

std::uint64_t ReportPage::loaded(CertificateSlot slot) const {
  return slot < Board::certificate_capacity ? layout_->loaded[slot].load(std::memory_order_acquire) : 0;
}

std::optional<std::string> answer_challenge(const Board& board, ReportPage* report, int wake, ChallengeKind kind,
                                            std::string_view token) {
  auto found = board.find_answer(kind, token);
  if (!found) return std::nullopt;
  if (report != nullptr) report->hit(found->slot);
  // Counted before the wake-up: the agent that it wakes must see the count. A full eventfd is awake anyway.
  const std::uint64_t one = 1;
  if (wake >= 0) [[maybe_unused]]
    const ssize_t written = ::write(wake, &one, sizeof one);
  return std::move(found->answer);
}

std::optional<std::string> answer_http_challenge(const Board& board, ReportPage* report, int wake, std::string_view host,
                                                 std::string_view path) {
  constexpr std::string_view acme = "/.well-known/acme-challenge/";
  constexpr std::string_view files = "/.well-known/pki-validation/";
  if (path.starts_with(acme)) {
    return answer_challenge(board, report, wake, ChallengeKind::http_01, path.substr(acme.size()));
  }
  if (!path.starts_with(files)) return std::nullopt;
  // An IPv6 address has colons of its own, and no CA validates one by file.
  std::string token(host.substr(0, host.find(':')));
  std::transform(token.begin(), token.end(), token.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  while (token.ends_with('.')) token.pop_back();
  token += "/";
  token += path.substr(files.size());
  return answer_challenge(board, report, wake, ChallengeKind::http_file, token);
}

}  // namespace evercert
