// A certificate chain as anybody may send it.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "agent/issuer/chain.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static_cast<void>(evercert::read_chain({reinterpret_cast<const char*>(bytes), size}, "no such key"));
  static_cast<void>(evercert::request_key_digest({bytes, size}));
  return 0;
}
