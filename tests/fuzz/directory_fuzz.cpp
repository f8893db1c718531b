// A directory as anybody may serve it.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "agent/acme/directory.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  auto directory = evercert::parse_directory({reinterpret_cast<const char*>(bytes), size}, "https://ca.example/directory");
  if (directory && !directory->new_order.starts_with("https://")) __builtin_trap();
  return 0;
}
