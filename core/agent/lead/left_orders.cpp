#include "agent/lead/left_orders.h"

#include <algorithm>

namespace evercert {
namespace {

std::string wish_text(std::vector<Identifier> identifiers, const KeySpec& key) {
  std::sort(identifiers.begin(), identifiers.end());
  std::string text = key.text();
  for (const Identifier& identifier : identifiers) text += "\n" + identifier.value;
  return text;
}

}  // namespace

void LeftOrders::named(std::set<std::string> lines) {
  const std::lock_guard lock(mutex_);
  lines_ = std::move(lines);
  looked_ = false;
  left_.clear();
}

Result<Done> LeftOrders::look() {
  if (looked_) return Done{};
  left_.clear();
  const auto keys = orders_.keys();
  if (!keys) return keys.error();
  std::set<std::string> named;
  for (const std::string& line : lines_)
    for (const KeyAlgorithm algorithm : {KeyAlgorithm::ecdsa, KeyAlgorithm::rsa}) named.insert(order_key(line, algorithm));
  for (const std::string& key : *keys) {
    if (named.contains(key)) continue;
    auto record = orders_.load_from(key);
    // One that is locked is for people; one that was damaged is gone at the next look.
    if (!record && record.error().kind != ErrorKind::action_required) return record.error();
    if (record && *record && (is_open((*record)->state) || (*record)->is_doubtful()))
      left_.emplace(wish_text((*record)->identifiers, (*record)->key), std::move(**record));
  }
  looked_ = true;
  return Done{};
}

Result<std::optional<OrderRecord>> LeftOrders::take(const CertificateSpec& certificate, const KeySpec& key) {
  const std::lock_guard lock(mutex_);
  if (auto looked = look(); !looked) return looked.error();
  const auto [begin, end] = left_.equal_range(wish_text(certificate.identifiers, key));
  auto found = end;
  for (auto entry = begin; entry != end; ++entry) {
    const auto& issuers = certificate.issuers;
    const bool ours = std::find(issuers.begin(), issuers.end(), entry->second.issuer) != issuers.end();
    // One that is open is known to be at the CA.
    if (ours && (found == end || (found->second.is_doubtful() && !entry->second.is_doubtful()))) found = entry;
  }
  if (found == end) return std::optional<OrderRecord>();
  OrderRecord record = found->second;
  const std::string line = record.certificate;
  record.certificate = certificate.name;
  if (record.purchase != 0) record.purchase = orders_.last_purchase(certificate.name, key.algorithm).number + 1;
  // First where it belongs: in between, both are the same order, and the older record is not looked at again.
  if (auto saved = orders_.save(record, Durability::power); !saved) return saved.error();
  if (auto closed = orders_.close_purchase(line, key.algorithm); !closed) return closed.error();
  static_cast<void>(store_.erase(order_key(line, key.algorithm)).has_value());
  left_.erase(found);
  return std::optional<OrderRecord>(std::move(record));
}

}  // namespace evercert
