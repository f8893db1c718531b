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

void LeftOrders::look() {
  if (std::exchange(looked_, true)) return;
  const auto keys = orders_.keys();
  if (!keys) return;
  std::set<std::string> named;
  for (const std::string& line : lines_)
    for (const KeyAlgorithm algorithm : {KeyAlgorithm::ecdsa, KeyAlgorithm::rsa}) named.insert(order_key(line, algorithm));
  for (const std::string& key : *keys) {
    if (named.contains(key)) continue;
    auto record = orders_.load_from(key);
    if (record && *record && is_open((*record)->state))
      left_.emplace(wish_text((*record)->identifiers, (*record)->key), std::move(**record));
  }
}

std::optional<OrderRecord> LeftOrders::take(const CertificateSpec& certificate, const KeySpec& key) {
  const std::lock_guard lock(mutex_);
  look();
  const auto [begin, end] = left_.equal_range(wish_text(certificate.identifiers, key));
  const auto found = std::find_if(begin, end, [&](const auto& entry) {
    const auto& issuers = certificate.issuers;
    return std::find(issuers.begin(), issuers.end(), entry.second.issuer) != issuers.end();
  });
  if (found == end) return std::nullopt;
  OrderRecord record = found->second;
  const std::string before = order_key(record.certificate, key.algorithm);
  record.certificate = certificate.name;
  // First where it belongs: in between, both are the same order, and the older record is not looked at again.
  if (!orders_.save(record, Durability::power)) return std::nullopt;
  static_cast<void>(store_.erase(before).has_value());
  left_.erase(found);
  return record;
}

}  // namespace evercert
