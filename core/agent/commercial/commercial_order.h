// What CommercialIssuer keeps of an order between its steps, and of one that has brought a certificate and may bring more. Both
// are JSON texts in the order record, private to CommercialIssuer.
// Rule: changes only by addition; an order that is paid for must be understood by the next release.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "agent/commercial/commercial_api.h"

namespace evercert {

// Kept as IssuerOrder::detail.
struct CommercialDetail {
  std::string request_key;         // digest of the request's public key, to know our certificate again
  std::vector<std::string> names;  // as ordered
  std::vector<std::string> added;  // by the CA, to be proved as well
  std::string certificate;         // ours; empty in orders of earlier releases
  std::size_t way = 0;             // which of the issuer's ways of proving is tried
  bool presented = false;          // its challenges were handed out
  std::int64_t presented_at = 0;
  unsigned checks = 0;         // asked for with this way
  std::int64_t placed_at = 0;  // seconds since 1970
  std::int64_t checked_at = 0;
  bool reissue = false;   // the order existed before, and is not to be cancelled
  std::int64_t ends = 0;  // of the order, as far as the CA has told; 0: not told

  [[nodiscard]] std::string text() const;
  [[nodiscard]] std::vector<std::string> to_prove() const;
};
Result<CommercialDetail> detail_of(const IssuerOrder& order);

// Kept as IssuedCertificate::subscription.
std::string text_of(const Subscription& subscription);
// nullopt: there is none, or it cannot be read.
std::optional<Subscription> subscription_from(const std::string& text);

// Whether another certificate of the running order is worth more than a new order: other names or another key while there is
// time left, or a later end than the certificate it brought last.
bool is_worth_a_reissue(const Subscription& subscription, const Wanted& wanted, std::chrono::system_clock::time_point now);

}  // namespace evercert
