#include "simulation/keys.h"

#include <stdexcept>

namespace evercert::simulation {
namespace {

constexpr std::size_t many = 512;
constexpr std::size_t few = 16;  // RSA keys take long to make: when they are asked for

PrivateKey another(const PrivateKey& key) {
  EVP_PKEY_up_ref(key.handle.get());
  return {KeyHandle(key.handle.get()), key.bytes, key.reference};
}

PrivateKey made(const KeySpec& spec, const std::string& reference) {
  auto key = make_file_keys()->generate(spec);
  if (!key) throw std::runtime_error(key.error().message);
  key->reference = reference;
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
