// Keys that were made before the simulation began, given out one after the other: making and reading one costs more than all
// that the product does with it. Requests are signed with them and certificates made for them as for any other.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "serving/key/key_provider.h"

namespace evercert::simulation {

// Shared by all worlds of a process, of which there is one at a time.
class KeyPool {
 public:
  static const KeyPool& of_process();
  [[nodiscard]] PrivateKey key(KeyAlgorithm algorithm, std::size_t number) const;

 private:
  KeyPool();
  std::vector<PrivateKey> ecdsa_;
  mutable std::vector<PrivateKey> rsa_;
};

class SimulatedKeys : public KeyProvider {
 public:
  // `by_reference`: as keys in tokens are; else with their bytes, which are then proved before publication.
  SimulatedKeys(bool by_reference, std::size_t first) : by_reference_(by_reference), next_(first) {}
  Result<PrivateKey> generate(const KeySpec& spec) override;
  Result<PrivateKey> open(const Secret& bytes, const std::string& reference) override;

 private:
  bool by_reference_;
  std::size_t next_;
};

}  // namespace evercert::simulation
