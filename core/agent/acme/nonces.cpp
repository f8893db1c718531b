#include "agent/acme/nonces.h"

namespace evercert {
namespace {

bool is_nonce(const std::string& text) {
  constexpr const char* alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return !text.empty() && text.size() <= 1024 && text.find_first_not_of(alphabet) == std::string::npos;
}

}  // namespace

void Nonces::put(std::string nonce) {
  if (!is_nonce(nonce)) return;
  {
    const std::lock_guard lock(mutex_);
    kept_.push_back({std::move(nonce), clock_.now()});
    if (kept_.size() > capacity) kept_.pop_front();
  }
  changed_.notify_one();
}

void Nonces::drop_old() {
  if (kept_.empty()) return;
  // The newest is too old: so are all the others. A clock that was put back makes their age unknown.
  const auto age = clock_.now() - kept_.back().since;
  if (age > lifetime || age < std::chrono::seconds(0)) kept_.clear();
}

std::optional<std::string> Nonces::Turn::take(const std::stop_token& stop) {
  std::unique_lock lock(nonces_.mutex_);
  nonces_.drop_old();
  if (!counted_) {
    nonces_.changed_.wait_for(lock, stop, patience, [&] { return !nonces_.kept_.empty() || nonces_.turns_ < enough; });
    ++nonces_.turns_;
    counted_ = true;
  }
  if (nonces_.kept_.empty()) return std::nullopt;
  std::string nonce = std::move(nonces_.kept_.back().nonce);
  nonces_.kept_.pop_back();
  return nonce;
}

Nonces::Turn::~Turn() {
  if (!counted_) return;
  {
    const std::lock_guard lock(nonces_.mutex_);
    --nonces_.turns_;
  }
  nonces_.changed_.notify_one();
}

void Nonces::clear() {
  const std::lock_guard lock(mutex_);
  kept_.clear();
}

}  // namespace evercert
