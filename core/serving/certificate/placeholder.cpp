#include "serving/certificate/placeholder.h"

#include <arpa/inet.h>
#include <openssl/rand.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "evercert/catalog.h"
#include "evercert/descriptor.h"
#include "serving/base/openssl_handles.h"
#include "serving/certificate/pem.h"
#include "serving/certificate/served_pairs.h"
#include "serving/platform/files.h"

namespace evercert {

namespace {

constexpr long one_hour = 3600;
constexpr long one_week = 7L * 24 * one_hour;
constexpr std::size_t longest_common_name = 64;  // ub-common-name, RFC 5280 appendix A.1

// Takes over `value`.
bool push_name(GENERAL_NAMES* names, int type, ASN1_STRING* value) {
  GENERAL_NAME* name = ::GENERAL_NAME_new();
  if (name == nullptr || value == nullptr) return false;
  ::GENERAL_NAME_set0_value(name, type, value);
  return sk_GENERAL_NAME_push(names, name) > 0;
}

ASN1_STRING* make_string(int type, const void* bytes, std::size_t size) {
  ASN1_STRING* string = ::ASN1_STRING_type_new(type);
  if (string != nullptr) ::ASN1_STRING_set(string, bytes, static_cast<int>(size));
  return string;
}

bool push_identifier(GENERAL_NAMES* names, const Identifier& identifier) {
  if (identifier.kind == IdentifierKind::dns)
    return push_name(names, GEN_DNS, make_string(V_ASN1_IA5STRING, identifier.value.data(), identifier.value.size()));
  std::array<unsigned char, sizeof(in6_addr)> address{};
  const bool is_version_6 = identifier.value.find(':') != std::string::npos;
  if (::inet_pton(is_version_6 ? AF_INET6 : AF_INET, identifier.value.c_str(), address.data()) != 1) return false;
  return push_name(names, GEN_IPADD, make_string(V_ASN1_OCTET_STRING, address.data(), is_version_6 ? 16 : 4));
}

bool set_names(X509* certificate, const std::string& name, const std::vector<Identifier>& identifiers) {
  const SubjectHandle subject(::X509_NAME_new());
  const std::string common = name.size() <= longest_common_name ? name : name.substr(0, longest_common_name);
  if (!subject ||
      ::X509_NAME_add_entry_by_NID(subject.get(), NID_commonName, MBSTRING_UTF8,
                                   reinterpret_cast<const unsigned char*>(common.data()), static_cast<int>(common.size()), -1,
                                   0) != 1 ||
      ::X509_set_subject_name(certificate, subject.get()) != 1 || ::X509_set_issuer_name(certificate, subject.get()) != 1)
    return false;
  if (identifiers.empty()) return true;
  const NamesHandle names(::GENERAL_NAMES_new());
  if (!names) return false;
  for (const Identifier& identifier : identifiers)
    if (!push_identifier(names.get(), identifier)) return false;
  return ::X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) == 1;
}

bool fill(X509* certificate, EVP_PKEY* key, const std::string& name, const std::vector<Identifier>& identifiers) {
  std::array<unsigned char, 16> serial{};
  if (::RAND_bytes(serial.data(), static_cast<int>(serial.size())) != 1) return false;
  serial[0] = static_cast<unsigned char>((serial[0] & 0x7f) | 0x40);  // RFC 5280 section 4.1.2.2: positive
  const BigNumberHandle number(::BN_bin2bn(serial.data(), static_cast<int>(serial.size()), nullptr));
  return number && ::BN_to_ASN1_INTEGER(number.get(), ::X509_get_serialNumber(certificate)) != nullptr &&
         ::X509_set_version(certificate, X509_VERSION_3) == 1 &&
         ::X509_gmtime_adj(::X509_getm_notBefore(certificate), -one_hour) != nullptr &&
         ::X509_gmtime_adj(::X509_getm_notAfter(certificate), one_week) != nullptr &&
         ::X509_set_pubkey(certificate, key) == 1 && set_names(certificate, name, identifiers) &&
         ::X509_sign(certificate, key, ::EVP_sha256()) > 0;
}

struct StandIn {
  CertificateHandle leaf;
  KeyHandle key;
};

Result<StandIn> make_stand_in(const std::string& certificate, const std::vector<Identifier>& names, KeyAlgorithm algorithm) {
  StandIn made{CertificateHandle(::X509_new()),
               KeyHandle(algorithm == KeyAlgorithm::ecdsa ? ::EVP_EC_gen("P-256") : ::EVP_RSA_gen(2048))};
  if (!made.leaf || !made.key || !fill(made.leaf.get(), made.key.get(), certificate, names))
    return openssl_error(ErrorKind::internal, "cannot make a stand-in certificate for " + certificate);
  return made;
}

}  // namespace

Result<std::shared_ptr<const ServedCertificate>> make_placeholder(const std::string& certificate,
                                                                  const std::vector<Identifier>& names) {
  const CleanErrorQueue clean;
  CertificatesHandle chain(sk_X509_new_null());
  if (!chain) return openssl_error(ErrorKind::internal, "cannot make a stand-in certificate for " + certificate);
  auto made = make_stand_in(certificate, names, KeyAlgorithm::ecdsa);
  if (!made) return made.error();
  std::vector<ServedPair> pairs;
  pairs.push_back(
      {std::move(made->leaf), std::move(made->key), SharedChain(chain.release(), Releaser<release_certificates>())});
  return make_served(0, std::move(pairs));
}

Result<std::string> PlaceholderFile::write(const std::string& certificate, const std::vector<Identifier>& names) {
  const auto pair = make_placeholder_pair(certificate, names, KeyAlgorithm::ecdsa);
  if (!pair) return pair.error();
  const auto pem = pem_of(*pair);
  if (!pem) return pem.error();
  const BytesView bytes = pem->view();
  if (!file_.valid()) file_ = Descriptor(::memfd_create("evercert-stand-in", MFD_CLOEXEC));
  if (::ftruncate(file_.get(), 0) != 0 ||
      ::pwrite(file_.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return system_error(ErrorKind::internal, "cannot write a stand-in certificate for " + certificate, errno);
  return "/proc/self/fd/" + std::to_string(file_.get());
}

Result<BundlePair> make_placeholder_pair(const std::string& certificate, const std::vector<Identifier>& names,
                                         KeyAlgorithm algorithm) {
  const CleanErrorQueue clean;
  auto made = make_stand_in(certificate, names, algorithm);
  if (!made) return made.error();
  const KeyInformationHandle information(::EVP_PKEY2PKCS8(made->key.get()));
  std::uint8_t* bytes = nullptr;
  BundlePair pair;
  pair.key = {algorithm, algorithm == KeyAlgorithm::ecdsa ? 256U : 2048U};
  const int leaf_size = ::i2d_X509(made->leaf.get(), &bytes);
  const OpensslBytesHandle leaf(std::exchange(bytes, nullptr));
  const int key_size = information ? ::i2d_PKCS8_PRIV_KEY_INFO(information.get(), &bytes) : -1;
  const OpensslBytesHandle key(bytes);
  if (leaf_size <= 0 || key_size <= 0)
    return openssl_error(ErrorKind::internal, "cannot make a stand-in certificate for " + certificate);
  pair.leaf.assign(leaf.get(), leaf.get() + leaf_size);
  pair.private_key = Secret(Bytes(key.get(), key.get() + key_size));
  ::OPENSSL_cleanse(key.get(), static_cast<std::size_t>(key_size));
  return pair;
}

}  // namespace evercert
