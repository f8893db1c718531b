// What is said about a key: its kind, and a certificate request signed with it.
#include <openssl/core_names.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <string_view>

#include "serving/key/key_provider.h"

namespace evercert {
namespace {

constexpr std::size_t longest_common_name = 64;  // RFC 5280 appendix A.1: ub-common-name

Result<Done> add_name(GENERAL_NAMES* names, const Identifier& identifier) {
  const int type = identifier.kind == IdentifierKind::dns ? GEN_DNS : GEN_IPADD;
  GeneralNameHandle name(a2i_GENERAL_NAME(nullptr, nullptr, nullptr, type, identifier.value.c_str(), 0));
  if (!name || sk_GENERAL_NAME_push(names, name.get()) == 0) {
    return openssl_error(ErrorKind::key_provider, "a request cannot be made for \"" + identifier.value + "\"");
  }
  static_cast<void>(name.release());  // the list owns it now
  return Done{};
}

Result<Done> add_names(X509_REQ* request, const std::vector<Identifier>& identifiers) {
  const NamesHandle names(GENERAL_NAMES_new());
  if (!names) return openssl_error(ErrorKind::key_provider, "a request cannot be made");
  for (const Identifier& identifier : identifiers) {
    if (const auto added = add_name(names.get(), identifier); !added) return added.error();
  }
  STACK_OF(X509_EXTENSION)* stack = nullptr;
  const int added = X509V3_add1_i2d(&stack, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT);
  const ExtensionsHandle extensions(stack);
  if (added != 1 || X509_REQ_add_extensions(request, extensions.get()) != 1) {
    return openssl_error(ErrorKind::key_provider, "the names cannot be put into a request");
  }
  return Done{};
}

Result<Done> add_common_name(X509_REQ* request, const std::vector<Identifier>& identifiers) {
  for (const Identifier& identifier : identifiers) {
    if (identifier.kind != IdentifierKind::dns) continue;
    // Too long for a common name: the subject stays empty, the alternative names say it all.
    if (identifier.value.size() > longest_common_name) return Done{};
    const auto* const text = reinterpret_cast<const unsigned char*>(identifier.value.data());
    const SubjectHandle subject(X509_NAME_new());
    if (!subject ||
        X509_NAME_add_entry_by_NID(subject.get(), NID_commonName, MBSTRING_UTF8, text,
                                   static_cast<int>(identifier.value.size()), -1, 0) != 1 ||
        X509_REQ_set_subject_name(request, subject.get()) != 1) {
      return openssl_error(ErrorKind::key_provider, "the common name cannot be put into a request");
    }
    return Done{};
  }
  return Done{};
}

const EVP_MD* digest_for(const KeySpec& spec) {
  if (spec.algorithm == KeyAlgorithm::rsa || spec.bits <= 256) return EVP_sha256();
  return spec.bits <= 384 ? EVP_sha384() : EVP_sha512();
}

}  // namespace

Result<Bytes> make_request(const PrivateKey& key, const std::vector<Identifier>& identifiers, bool common_name) {
  if (identifiers.empty()) return Error{ErrorKind::key_provider, "a request cannot be made: it has no names"};
  const auto spec = spec_of(key.handle.get());
  if (!spec) return Error{ErrorKind::key_provider, spec.error().message};
  const RequestHandle request(X509_REQ_new());
  if (!request || X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), key.handle.get()) != 1) {
    return openssl_error(ErrorKind::key_provider, "a request cannot be made");
  }
  if (common_name) {
    if (const auto added = add_common_name(request.get(), identifiers); !added) return added.error();
  }
  if (const auto added = add_names(request.get(), identifiers); !added) return added.error();
  if (X509_REQ_sign(request.get(), key.handle.get(), digest_for(*spec)) <= 0) {
    return openssl_error(ErrorKind::key_provider, "a request cannot be signed with the certificate's key");
  }
  Bytes der(static_cast<std::size_t>(i2d_X509_REQ(request.get(), nullptr)));
  std::uint8_t* at = der.data();
  if (i2d_X509_REQ(request.get(), &at) <= 0) return openssl_error(ErrorKind::key_provider, "a request cannot be written");
  return der;
}

Result<KeySpec> spec_of(EVP_PKEY* key) {
  const CleanErrorQueue clean;
  if (key == nullptr) return Error{ErrorKind::configuration, "there is no key"};
  const auto bits = static_cast<unsigned>(EVP_PKEY_get_bits(key));
  if (EVP_PKEY_is_a(key, "RSA") == 1) {
    if (bits == 2048 || bits == 3072 || bits == 4096) return KeySpec{KeyAlgorithm::rsa, bits};
    return Error{ErrorKind::configuration,
                 "an RSA key of " + std::to_string(bits) + " bits is not supported; use 2048, 3072 or 4096"};
  }
  std::array<char, 64> curve{};
  if (EVP_PKEY_is_a(key, "EC") == 1 &&
      EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, curve.data(), curve.size(), nullptr) == 1) {
    const std::string_view name = curve.data();
    if (name == "prime256v1" || name == "P-256") return KeySpec{KeyAlgorithm::ecdsa, 256};
    if (name == "secp384r1" || name == "P-384") return KeySpec{KeyAlgorithm::ecdsa, 384};
    if (name == "secp521r1" || name == "P-521") return KeySpec{KeyAlgorithm::ecdsa, 521};
    return Error{ErrorKind::configuration,
                 "a key on the curve " + std::string(name) + " is not supported; use P-256, P-384 or P-521"};
  }
  return Error{ErrorKind::configuration, "a key of this kind is not supported; use ecdsa or rsa"};
}

}  // namespace evercert
