// The proof of a bundle: that what would be served can be served.
#include <arpa/inet.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "serving/base/bounds.h"
#include "serving/base/encoding.h"
#include "serving/certificate/bundle.h"
#include "serving/certificate/read_certificate.h"
#include "serving/key/key_provider.h"

namespace evercert {
namespace {

using TimePoint = std::chrono::system_clock::time_point;
constexpr std::chrono::minutes clock_tolerance{5};

Result<TimePoint> time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return openssl_error(ErrorKind::storage, "a date of the certificate cannot be read");
  return moment_of(timegm(&parts));
}

std::string text_of(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)), static_cast<std::size_t>(ASN1_STRING_length(text))};
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return text;
}

// RFC 8738 section 3: the text form of RFC 1123 or RFC 5952.
std::string address_text(const ASN1_OCTET_STRING* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ASN1_STRING_length(address) != 16) return "an address of the wrong length";
  inet_ntop(family, ASN1_STRING_get0_data(address), text.data(), static_cast<socklen_t>(text.size()));
  return text.data();
}

std::vector<Identifier> identifiers_of(X509* leaf) {
  const NamesHandle names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(leaf, NID_subject_alt_name, nullptr, nullptr)));
  std::vector<Identifier> identifiers;
  for (int at = 0; names && at < sk_GENERAL_NAME_num(names.get()); ++at) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), at);
    if (name->type == GEN_DNS) {
      identifiers.push_back({IdentifierKind::dns, lower(text_of(name->d.dNSName))});
    } else if (name->type == GEN_IPADD) {
      identifiers.push_back({IdentifierKind::ip, address_text(name->d.iPAddress)});
    }
  }
  return identifiers;
}

Result<Done> check_names(const LeafFacts& facts, const Bundle& bundle) {
  std::vector<Identifier> covered = facts.identifiers;
  std::sort(covered.begin(), covered.end());
  // Names that the CA has added (www, by many) are no reason to do without those that were asked for.
  for (const Identifier& identifier : bundle.identifiers) {
    if (!std::binary_search(covered.begin(), covered.end(), identifier)) {
      return Error{ErrorKind::storage, "the certificate does not cover " + identifier.value};
    }
  }
  return Done{};
}

Result<Done> check_dates(const LeafFacts& facts, TimePoint now) {
  if (facts.not_before > now + clock_tolerance) {
    return Error{ErrorKind::storage,
                 "the certificate is not valid yet: its start lies in the future, or this machine's clock is slow"};
  }
  if (facts.not_after <= facts.not_before) return Error{ErrorKind::storage, "the certificate ends before it begins"};
  return Done{};
}

// Signs with the key as handshakes will, and checks the signature with the leaf.
Result<Done> check_signing(EVP_PKEY* key, EVP_PKEY* leaf_key) {
  const Bytes message = random_bytes(32);
  const DigestContextHandle signing(EVP_MD_CTX_new());
  std::size_t size = 0;
  Bytes signature;
  bool done = signing && EVP_DigestSignInit(signing.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
              EVP_DigestSign(signing.get(), nullptr, &size, message.data(), message.size()) == 1;
  if (done) {
    signature.resize(size);
    done = EVP_DigestSign(signing.get(), signature.data(), &size, message.data(), message.size()) == 1;
  }
  if (!done) return openssl_error(ErrorKind::storage, "the private key does not sign");
  const DigestContextHandle checking(EVP_MD_CTX_new());
  if (!checking || EVP_DigestVerifyInit(checking.get(), nullptr, EVP_sha256(), nullptr, leaf_key) != 1 ||
      EVP_DigestVerify(checking.get(), signature.data(), size, message.data(), message.size()) != 1) {
    return openssl_error(ErrorKind::storage, "what the private key signs does not verify under the certificate");
  }
  return Done{};
}

Result<Done> check_key(const BundlePair& pair, X509* leaf) {
  EVP_PKEY* const leaf_key = X509_get0_pubkey(leaf);
  if (leaf_key == nullptr) return openssl_error(ErrorKind::storage, "the certificate's public key cannot be read");
  const auto spec = spec_of(leaf_key);
  if (!spec) return Error{ErrorKind::storage, spec.error().message};
  if (*spec != pair.key) {
    return Error{ErrorKind::storage, "the certificate is for a key " + spec->text() + " instead of " + pair.key.text()};
  }
  // A key in a token is proved by the provider that holds it.
  if (pair.private_key.empty() && !pair.reference.empty()) return Done{};
  const auto key = make_file_keys()->open(pair.private_key, pair.reference);
  if (!key) return Error{ErrorKind::storage, key.error().message};
  if (X509_check_private_key(leaf, key->handle.get()) != 1) {
    return openssl_error(ErrorKind::storage, "the private key does not match the certificate");
  }
  return check_signing(key->handle.get(), leaf_key);
}

Result<Done> check_chain(const BundlePair& pair, X509* leaf) {
  const CleanErrorQueue clean;
  X509_up_ref(leaf);
  CertificateHandle subject(leaf);
  for (std::size_t at = 0; at < pair.chain.size(); ++at) {
    auto issuer = read_certificate(pair.chain[at]);
    const std::string place = "certificate " + std::to_string(at + 1) + " of the chain";
    if (!issuer) return issuer.error().with_prefix(place);
    EVP_PKEY* const key = X509_get0_pubkey(issuer->get());
    if (X509_check_issued(issuer->get(), subject.get()) != X509_V_OK || key == nullptr ||
        X509_verify(subject.get(), key) != 1) {
      return Error{ErrorKind::storage, "the chain does not link up: " + place + " did not issue the one before it"};
    }
    subject = std::move(*issuer);
  }
  return Done{};
}

Result<LeafFacts> facts_of(X509* certificate, BytesView der) {
  LeafFacts facts;
  const BigNumberHandle serial(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  if (!serial) return openssl_error(ErrorKind::storage, "the certificate's serial number cannot be read");
  Bytes number(static_cast<std::size_t>(BN_num_bytes(serial.get())));
  BN_bn2bin(serial.get(), number.data());
  facts.serial = number.empty() ? "00" : to_hex(number);
  const auto not_before = time_of(X509_get0_notBefore(certificate));
  if (!not_before) return not_before.error();
  const auto not_after = time_of(X509_get0_notAfter(certificate));
  if (!not_after) return not_after.error();
  facts.not_before = *not_before;
  facts.not_after = *not_after;
  facts.identifiers = identifiers_of(certificate);
  facts.sha256 = sha256(der);
  const BytesView key = public_key_in_certificate(der);
  facts.public_key.assign(key.begin(), key.end());
  const CleanErrorQueue clean;  // a leaf without, or with broken, alternative names has no identifiers
  return facts;
}

Result<Done> verify_pair(const Bundle& bundle, const BundlePair& pair, TimePoint now) {
  const auto leaf = read_certificate(pair.leaf);
  if (!leaf) return leaf.error();
  const auto facts = facts_of(leaf->get(), pair.leaf);
  if (!facts) return facts.error();
  if (const auto names = check_names(*facts, bundle); !names) return names.error();
  if (const auto dates = check_dates(*facts, now); !dates) return dates.error();
  if (const auto key = check_key(pair, leaf->get()); !key) return key.error();
  return check_chain(pair, leaf->get());
}

}  // namespace

Result<LeafFacts> leaf_facts(BytesView leaf) {
  const auto certificate = read_certificate(leaf);
  if (!certificate) return certificate.error();
  return facts_of(certificate->get(), leaf);
}

Result<Done> verify_bundle(const Bundle& bundle, std::chrono::system_clock::time_point now) {
  const std::string what = "the certificate \"" + bundle.name + "\"";
  if (bundle.pairs.empty()) return Error{ErrorKind::storage, what + " cannot be served: there is none"};
  for (const BundlePair& pair : bundle.pairs) {
    const auto verified = verify_pair(bundle, pair, now);
    if (!verified) return verified.error().with_prefix(what + " (" + pair.key.text() + ") cannot be served");
  }
  return Done{};
}

}  // namespace evercert
