#include "serving/certificate/read_certificate.h"

#include <openssl/asn1.h>

#include <list>
#include <map>
#include <mutex>

#include "serving/base/encoding.h"

namespace evercert {
namespace {

// Leaves in flight and the intermediates of a few CAs.
constexpr std::size_t kept = 64;

class RecentCertificates {
 public:
  CertificateHandle find(const Bytes& digest) {
    const std::lock_guard lock(mutex_);
    const auto found = by_digest_.find(digest);
    if (found == by_digest_.end()) return nullptr;
    order_.splice(order_.begin(), order_, found->second);
    return another(found->second->certificate.get());
  }

  void keep(const Bytes& digest, X509* certificate) {
    const std::lock_guard lock(mutex_);
    if (by_digest_.contains(digest)) return;
    order_.push_front({digest, another(certificate)});
    by_digest_[digest] = order_.begin();
    if (order_.size() <= kept) return;
    by_digest_.erase(order_.back().digest);
    order_.pop_back();
  }

 private:
  struct Entry {
    Bytes digest;
    CertificateHandle certificate;
  };
  static CertificateHandle another(X509* certificate) {
    X509_up_ref(certificate);
    return CertificateHandle(certificate);
  }

  std::mutex mutex_;
  std::list<Entry> order_;  // the one used last in front
  std::map<Bytes, std::list<Entry>::iterator> by_digest_;
};

// The elements of a DER sequence, one after the other.
class Elements {
 public:
  explicit Elements(BytesView content) : rest_(content) {}

  // The next element with its header; empty at the end, and when it does not fit.
  BytesView next() {
    const std::uint8_t* at = rest_.data();
    long length = 0;
    const CleanErrorQueue clean;
    if (rest_.empty() || (ASN1_get_object(&at, &length, &tag_, &class_, static_cast<long>(rest_.size())) & 0x80) != 0)
      return {};
    const auto header = static_cast<std::size_t>(at - rest_.data());
    const BytesView element = rest_.first(header + static_cast<std::size_t>(length));
    content_ = element.subspan(header);
    rest_ = rest_.subspan(element.size());
    return element;
  }
  [[nodiscard]] bool is(int tag, int of_class) const { return tag_ == tag && class_ == of_class; }
  [[nodiscard]] BytesView content() const { return content_; }

 private:
  BytesView rest_;
  BytesView content_;
  int tag_ = 0;
  int class_ = 0;
};

// The first element inside the outer sequence: what is signed.
BytesView signed_part(BytesView der) {
  Elements outer(der);
  if (outer.next().empty()) return {};
  Elements inner(outer.content());
  return inner.next().empty() ? BytesView() : inner.content();
}

}  // namespace

Result<CertificateHandle> read_certificate(BytesView der) {
  static RecentCertificates recent;
  const Bytes digest = sha256(der);
  if (auto known = recent.find(digest)) return known;
  const std::uint8_t* at = der.data();
  CertificateHandle certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (!certificate) return openssl_error(ErrorKind::storage, "the certificate cannot be read");
  if (at != der.data() + der.size()) return Error{ErrorKind::storage, "the certificate is followed by other bytes"};
  recent.keep(digest, certificate.get());
  return certificate;
}

BytesView public_key_in_certificate(BytesView der) {
  Elements parts(signed_part(der));
  BytesView element = parts.next();
  if (parts.is(0, V_ASN1_CONTEXT_SPECIFIC)) element = parts.next();  // the version, which may be left out
  constexpr int before_key = 4;  // after the serial number: algorithm, issuer, validity, subject
  for (int index = 0; index < before_key && !element.empty(); ++index) element = parts.next();
  return element.empty() ? element : parts.next();
}

BytesView public_key_in_request(BytesView der) {
  Elements parts(signed_part(der));
  if (parts.next().empty() || parts.next().empty()) return {};  // version and subject
  return parts.next();
}

}  // namespace evercert
