// Bytes from disk that may be anything: as a whole file, as sealed contents, and as a leaf.
#include "serving/certificate/bundle.h"
#include "serving/store/seal.h"
#include "serving/store/seal_key.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace evercert;
  static const SealKey key = derive_seal_keys(Secret(Bytes(32, 7)))->serving;
  const BytesView input(data, size);
  if (open_bundle(key, "name", 1, input)) __builtin_trap();  // nobody can make one up
  const auto sealed = seal(key, {SealedKind::bundle, "name", 1}, input);
  if (!sealed) __builtin_trap();
  if (const auto bundle = open_bundle(key, "name", 1, *sealed)) {
    static_cast<void>(verify_bundle(*bundle, std::chrono::system_clock::now()));
    if (!seal_bundle(key, *bundle)) __builtin_trap();
  }
  static_cast<void>(leaf_facts(input));
  return 0;
}
