#include "simulation/keys.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <stdexcept>

namespace evercert::simulation {
namespace {

constexpr std::size_t many = 512;
constexpr std::size_t few = 16;  // RSA keys take long to make: when they are asked for

PrivateKey another(const PrivateKey& key) {
  EVP_PKEY_up_ref(key.handle.get());
  return {KeyHandle(key.handle.get()), key.bytes, key.reference};
}

// In the form that OpenSSL had before its third release: from that it writes a public key down at once, where it looks for an
// encoder and a decoder otherwise, at five times the cost of a signature.
KeyHandle in_old_form(BytesView pkcs8) {
  const std::uint8_t* at = pkcs8.data();
  const KeyInformationHandle information(d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(pkcs8.size())));
  int size = 0;
  const unsigned char* inner = nullptr;
  const ASN1_OBJECT* algorithm = nullptr;
  const X509_ALGOR* parameters = nullptr;
  PKCS8_pkey_get0(&algorithm, &inner, &size, &parameters, information.get());
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  EC_KEY* elliptic = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
  KeyHandle key(EVP_PKEY_new());
  if (d2i_ECPrivateKey(&elliptic, &inner, size) == nullptr || EVP_PKEY_assign_EC_KEY(key.get(), elliptic) != 1)
    throw std::runtime_error("a key could not be made");
#pragma GCC diagnostic pop
  return key;
}

PrivateKey made(const KeySpec& spec, const std::string& reference) {
  auto key = make_file_keys()->generate(spec);
  if (!key) throw std::runtime_error(key.error().message);
  key->reference = reference;
  if (spec.algorithm == KeyAlgorithm::ecdsa) key->handle = in_old_form(key->bytes.view());
  return std::move(*key);
}

}  // namespace

KeyPool::KeyPool() : rsa_(few) {
  for (std::size_t i = 0; i < many; ++i) ecdsa_.push_back(made({KeyAlgorithm::ecdsa, 256}, "ecdsa:" + std::to_string(i)));
}

const KeyPool& KeyPool::of_process() {
  static const KeyPool pool;
  return pool;
}

PrivateKey KeyPool::key(KeyAlgorithm algorithm, std::size_t number) const {
  if (algorithm == KeyAlgorithm::ecdsa) return another(ecdsa_[number % many]);
  auto& place = rsa_[number % few];
  if (!place.handle) place = made({KeyAlgorithm::rsa, 2048}, "rsa:" + std::to_string(number % few));
  return another(place);
}

Result<PrivateKey> SimulatedKeys::generate(const KeySpec& spec) {
  PrivateKey key = KeyPool::of_process().key(spec.algorithm, next_++);
  if (by_reference_)
    key.bytes.wipe();
  else
    key.reference.clear();
  return key;
}

Result<PrivateKey> SimulatedKeys::open(const Secret& bytes, const std::string& reference) {
  if (reference.empty()) return make_file_keys()->open(bytes, reference);
  const auto colon = reference.find(':');
  PrivateKey key = KeyPool::of_process().key(reference.starts_with("rsa") ? KeyAlgorithm::rsa : KeyAlgorithm::ecdsa,
                                             std::stoul(reference.substr(colon + 1)));
  key.bytes.wipe();
  return key;
}

}  // namespace evercert::simulation
