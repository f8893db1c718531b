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
  const std::lock_guard lock(mutex_);
  kept_.push_back({std::move(nonce), clock_.now()});
  if (kept_.size() > capacity) kept_.pop_front();
}

std::optional<std::string> Nonces::take() {
  const std::lock_guard lock(mutex_);
  if (kept_.empty()) return std::nullopt;
  // The newest is too old: so are all the others. A clock that was put back makes their age unknown.
  const auto age = clock_.now() - kept_.back().since;
  if (age > lifetime || age < std::chrono::seconds(0)) {
    kept_.clear();
    return std::nullopt;
  }
  std::string nonce = std::move(kept_.back().nonce);
  kept_.pop_back();
  return nonce;
}

void Nonces::clear() {
  const std::lock_guard lock(mutex_);
  kept_.clear();
}

}  // namespace evercert
