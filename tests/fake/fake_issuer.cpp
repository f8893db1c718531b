#include "fake/fake_issuer.h"

#include <algorithm>

#include "serving/base/encoding.h"

namespace evercert {
namespace {

Bytes der_of(X509* certificate) {
  Bytes der(static_cast<std::size_t>(i2d_X509(certificate, nullptr)));
  unsigned char* position = der.data();
  i2d_X509(certificate, &position);
  return der;
}

}  // namespace

FakeIssuer::FakeIssuer(IssuerSpec spec, const Clock& clock)
    : spec_(std::move(spec)), clock_(clock), key_(EVP_EC_gen("P-256")) {}

Result<Done> FakeIssuer::begin(const std::string& action) {
  ++counts_[action];
  if (witness) witness(action, false);
  if (always != nullptr) return *always;
  auto& waiting = failures_[action];
  if (waiting.empty() || waiting.front().second) return Done{};
  const Error error = waiting.front().first;
  waiting.pop_front();
  return error;
}

Result<Done> FakeIssuer::end(const std::string& action) {
  if (witness) witness(action, true);
  auto& waiting = failures_[action];
  if (waiting.empty()) return Done{};
  const Error error = waiting.front().first;
  waiting.pop_front();
  return error;
}

Result<IssuerOrder> FakeIssuer::said(const std::string& action, IssuerOrder order) const {
  if (twist) {
    if (auto error = twist(action, order)) return *error;
  }
  return order;
}

Result<IssuerOrder> FakeIssuer::place(const Wanted& wanted) {
  const std::lock_guard lock(mutex_);
  if (auto begun = begin("place"); !begun) return begun.error();
  IssuerOrder order;
  order.reference = "order/" + std::to_string(held_.size() + 1);
  held_[order.reference] = {wanted, order, {}};
  if (auto ended = end("place"); !ended) return ended.error();
  return said("place", order);
}

Result<std::optional<IssuerOrder>> FakeIssuer::find(const Wanted& wanted, const std::vector<std::string>& known) {
  const std::lock_guard lock(mutex_);
  if (auto begun = begin("find"); !begun) return begun.error();
  for (const auto& [reference, held] : held_) {
    if (held.wanted.reference != wanted.reference) continue;
    if (std::find(known.begin(), known.end(), reference) == known.end()) return std::optional<IssuerOrder>(held.order);
  }
  return std::optional<IssuerOrder>();
}

Bytes FakeIssuer::placed_last() const {
  const std::lock_guard lock(mutex_);
  return held_.at("order/" + std::to_string(held_.size())).wanted.request;
}

Result<std::vector<Challenge>> FakeIssuer::challenges(IssuerOrder& order) {
  const std::lock_guard lock(mutex_);
  if (auto begun = begin("challenges"); !begun) return begun.error();
  std::vector<Challenge> open;
  for (const auto& identifier : held_.at(order.reference).wanted.identifiers) {
    open.push_back({ChallengeKind::http_01, identifier,
                    to_base64url({reinterpret_cast<const std::uint8_t*>(identifier.value.data()), identifier.value.size()}),
                    "answer", order.reference});
  }
  return open;
}

Result<Done> FakeIssuer::respond(const IssuerOrder& order, const Challenge&) {
  const std::lock_guard lock(mutex_);
  if (auto begun = begin("respond"); !begun) return begun.error();
  Held& held = held_.at(order.reference);
  if (held.order.status == IssuerOrderStatus::pending) {
    held.order.status = validation_fails ? IssuerOrderStatus::invalid : IssuerOrderStatus::ready;
    if (validation_fails) held.order.problem = Error{ErrorKind::challenge_failed, "nobody answered"};
  }
  return end("respond");
}

Result<IssuerOrder> FakeIssuer::refresh(const IssuerOrder& order) {
  const std::lock_guard lock(mutex_);
  if (auto begun = begin("refresh"); !begun) return begun.error();
  const auto found = held_.find(order.reference);
  if (found == held_.end()) return Error{ErrorKind::issuer_refused, "no such order"};
  IssuerOrder order_now = found->second.order;
  if (validating && order_now.status == IssuerOrderStatus::ready) order_now.status = IssuerOrderStatus::pending;
  if (working && order_now.status == IssuerOrderStatus::ready) order_now.status = IssuerOrderStatus::processing;
  if (people_wanted && order_now.status == IssuerOrderStatus::ready) {
    order_now.status = IssuerOrderStatus::waiting_for_people;
    order_now.problem = Error{ErrorKind::action_required, "somebody must approve the order"};
  }
  return said("refresh", order_now);
}

Result<IssuerOrder> FakeIssuer::finalize(const IssuerOrder& order, const Wanted& wanted) {
  const std::lock_guard lock(mutex_);
  if (auto begun = begin("finalize"); !begun) return begun.error();
  Held& held = held_.at(order.reference);
  held.leaf = sign(wanted);
  held.order.status = IssuerOrderStatus::valid;
  if (auto ended = end("finalize"); !ended) return ended.error();
  return said("finalize", held.order);
}

Result<IssuedCertificate> FakeIssuer::collect(const IssuerOrder& order) {
  const std::lock_guard lock(mutex_);
  if (auto begun = begin("collect"); !begun) return begun.error();
  if (auto ended = end("collect"); !ended) return ended.error();
  return IssuedCertificate{held_.at(order.reference).leaf, {}, subscription};
}

Result<Done> FakeIssuer::abandon(const IssuerOrder&) {
  const std::lock_guard lock(mutex_);
  return begin("abandon");
}

Result<Fulfilment> FakeIssuer::revoke(BytesView, const Revocation&, const Secret*) {
  const std::lock_guard lock(mutex_);
  if (auto begun = begin("revoke"); !begun) return begun.error();
  return Fulfilment::done;
}

unsigned FakeIssuer::count(const std::string& action) const {
  const std::lock_guard lock(mutex_);
  const auto found = counts_.find(action);
  return found == counts_.end() ? 0 : found->second;
}

std::size_t FakeIssuer::orders() const {
  const std::lock_guard lock(mutex_);
  return held_.size();
}

void FakeIssuer::fail_next(const std::string& action, const Error& error, bool after) {
  const std::lock_guard lock(mutex_);
  failures_[action].emplace_back(error, after);
}

Bytes FakeIssuer::sign(const Wanted& wanted) {
  const unsigned char* position = wanted.request.data();
  const RequestHandle request(d2i_X509_REQ(nullptr, &position, static_cast<long>(wanted.request.size())));
  const CertificateHandle leaf(X509_new());
  X509_set_version(leaf.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(leaf.get()), serial_++);
  const auto start = std::chrono::system_clock::to_time_t(clock_.now() + begins);
  ASN1_TIME_set(X509_getm_notBefore(leaf.get()), start);
  ASN1_TIME_set(X509_getm_notAfter(leaf.get()), start + std::chrono::duration_cast<std::chrono::seconds>(lifetime).count());
  X509_NAME_add_entry_by_txt(X509_get_issuer_name(leaf.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("Fake CA"), -1, -1, 0);
  X509_set_pubkey(leaf.get(), X509_REQ_get0_pubkey(request.get()));
  const ExtensionsHandle extensions(X509_REQ_get_extensions(request.get()));
  for (int i = 0; i < sk_X509_EXTENSION_num(extensions.get()); ++i) {
    X509_add_ext(leaf.get(), sk_X509_EXTENSION_value(extensions.get(), i), -1);
  }
  X509_sign(leaf.get(), key_.get(), EVP_sha256());
  return der_of(leaf.get());
}

}  // namespace evercert
