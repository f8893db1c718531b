#include "serving/certificate/served_pairs.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <limits>

#include "serving/base/encoding.h"

namespace evercert {

namespace {

SharedChain share(CertificatesHandle chain) {
  return {chain.release(), Releaser<release_certificates>()};
}

// Not read_certificate(): what is parsed here is kept for handshakes anyway, and another thread's lock has no place on their
// way.
Result<CertificateHandle> parse_certificate(const Bytes& der, const std::string& what) {
  const unsigned char* at = der.data();
  CertificateHandle certificate(::d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (!certificate) return openssl_error(ErrorKind::storage, "cannot parse " + what);
  if (at != der.data() + der.size()) return Error{ErrorKind::storage, what + " has bytes behind its end"};
  return certificate;
}

Result<CertificatesHandle> parse_chain(const std::vector<Bytes>& chain) {
  CertificatesHandle parsed(sk_X509_new_null());
  if (!parsed) return openssl_error(ErrorKind::internal, "cannot make a chain");
  for (const Bytes& der : chain) {
    auto certificate = parse_certificate(der, "a certificate of the chain");
    if (!certificate) return certificate.error();
    if (sk_X509_push(parsed.get(), certificate->get()) == 0) return openssl_error(ErrorKind::internal, "cannot make a chain");
    static_cast<void>(certificate->release());
  }
  return parsed;
}

Result<KeyHandle> parse_key(const BundlePair& pair) {
  if (!pair.reference.empty())
    return Error{ErrorKind::key_provider,
                 "the key lives elsewhere (" + pair.reference + "), and this release opens key files only"};
  const BytesView der = pair.private_key.view();
  const unsigned char* at = der.data();
  // The type is known: trying all of them costs several times as much.
  const int type = pair.key.algorithm == KeyAlgorithm::ecdsa ? EVP_PKEY_EC : EVP_PKEY_RSA;
  KeyHandle key(::d2i_PrivateKey(type, nullptr, &at, static_cast<long>(der.size())));
  if (!key) return openssl_error(ErrorKind::storage, "cannot parse the private key (" + pair.key.text() + ")");
  return key;
}

class Pairs : public ServedCertificate {
 public:
  Pairs(std::uint64_t generation, std::vector<ServedPair> pairs) : generation_(generation), pairs_(std::move(pairs)) {
    for (const ServedPair& pair : pairs_) ends_at_ = std::min(ends_at_, end_of(pair.leaf.get()));
    if (!pairs_.empty()) names_ = names_of(pairs_.front().leaf.get());
  }

  std::uint64_t generation() const override { return generation_; }

  bool is_good_for(std::string_view server_name) const override {
    if (std::time(nullptr) >= ends_at_) return false;
    if (server_name.empty()) return true;
    const std::string name = NameIndex::normal(server_name);
    const std::size_t dot = name.find('.');
    return std::binary_search(names_.begin(), names_.end(), name) ||
           (dot != std::string::npos && dot > 0 && std::binary_search(names_.begin(), names_.end(), "*" + name.substr(dot)));
  }

  bool apply(SSL* connection) const override {
    const CleanErrorQueue clean;
    ::SSL_certs_clear(connection);
    for (const ServedPair& pair : pairs_)
      if (::SSL_use_cert_and_key(connection, pair.leaf.get(), pair.key.get(), pair.chain.get(), 1) != 1) return false;
    return !pairs_.empty();
  }

  std::string pem_chain() const override {
    const CleanErrorQueue clean;
    const BioHandle text(::BIO_new(::BIO_s_mem()));
    if (!text || pairs_.empty() || ::PEM_write_bio_X509(text.get(), pairs_.front().leaf.get()) != 1) return {};
    const STACK_OF(X509)* chain = pairs_.front().chain.get();
    for (int index = 0; index < sk_X509_num(chain); ++index)
      if (::PEM_write_bio_X509(text.get(), sk_X509_value(chain, index)) != 1) return {};
    char* begin = nullptr;
    const long size = BIO_get_mem_data(text.get(), &begin);
    return {begin, static_cast<std::size_t>(size)};
  }

 private:
  static std::time_t end_of(const X509* leaf) {
    std::tm end{};
    return ::ASN1_TIME_to_tm(::X509_get0_notAfter(leaf), &end) == 1 ? ::timegm(&end) : 0;
  }

  static std::vector<std::string> names_of(const X509* leaf) {
    std::vector<std::string> names;
    const NamesHandle all(static_cast<GENERAL_NAMES*>(::X509_get_ext_d2i(leaf, NID_subject_alt_name, nullptr, nullptr)));
    for (int index = 0; all && index < sk_GENERAL_NAME_num(all.get()); ++index) {
      const GENERAL_NAME* const name = sk_GENERAL_NAME_value(all.get(), index);
      if (name->type != GEN_DNS) continue;
      const auto* const bytes = reinterpret_cast<const char*>(::ASN1_STRING_get0_data(name->d.dNSName));
      names.push_back(NameIndex::normal({bytes, static_cast<std::size_t>(::ASN1_STRING_length(name->d.dNSName))}));
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  const std::uint64_t generation_;
  const std::vector<ServedPair> pairs_;
  std::time_t ends_at_ = std::numeric_limits<std::time_t>::max();
  std::vector<std::string> names_;  // sorted
};

}  // namespace

Result<SharedChain> ChainPool::intern(const std::vector<Bytes>& chain) {
  Bytes all;
  for (const Bytes& der : chain) {
    const Bytes digest = sha256(der);
    all.insert(all.end(), digest.begin(), digest.end());
  }
  const std::string name(all.begin(), all.end());
  {
    const std::lock_guard guard(mutex_);
    if (const auto found = chains_.find(name); found != chains_.end())
      if (SharedChain present = found->second.lock()) return present;
  }
  auto parsed = parse_chain(chain);
  if (!parsed) return parsed.error();
  SharedChain fresh = share(std::move(*parsed));
  const std::lock_guard guard(mutex_);
  std::erase_if(chains_, [](const auto& entry) { return entry.second.expired(); });
  auto& kept = chains_[name];
  if (SharedChain present = kept.lock()) return present;
  kept = fresh;
  return fresh;
}

Result<std::shared_ptr<const ServedCertificate>> parse_bundle(const Bundle& bundle, ChainPool& chains) {
  const CleanErrorQueue clean;
  if (bundle.pairs.empty()) return Error{ErrorKind::storage, "it holds no certificate"};
  std::vector<ServedPair> pairs;
  for (const BundlePair& pair : bundle.pairs) {
    auto leaf = parse_certificate(pair.leaf, "the certificate");
    if (!leaf) return leaf.error();
    auto key = parse_key(pair);
    if (!key) return key.error();
    if (::X509_check_private_key(leaf->get(), key->get()) != 1)
      return Error{ErrorKind::storage, "its key (" + pair.key.text() + ") does not belong to its certificate"};
    auto chain = chains.intern(pair.chain);
    if (!chain) return chain.error();
    pairs.push_back({std::move(*leaf), std::move(*key), std::move(*chain)});
  }
  return make_served(bundle.generation, std::move(pairs));
}

std::shared_ptr<const ServedCertificate> make_served(std::uint64_t generation, std::vector<ServedPair> pairs) {
  return std::make_shared<Pairs>(generation, std::move(pairs));
}

}  // namespace evercert
