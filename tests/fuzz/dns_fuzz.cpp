// Answers of name servers, as anybody may send them to the address that asked.
#include <cstddef>
#include <cstdint>

#include "agent/net/dns_message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace evercert;
  static const auto query = make_query({"_acme-challenge.example.org", DnsType::txt, true});
  static const TsigKey key{"update", "hmac-sha256", Secret::from_text("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")};
  static const auto update =
      make_update("example.org", DnsChange::add, {"_acme-challenge.example.org", DnsType::txt, "x", 60}, key);
  if (!query || !update) __builtin_trap();
  if (size < 2) return 0;
  // Nobody guesses the number of a message but whoever sees it.
  Bytes wire(bytes, bytes + size);
  wire[0] = static_cast<std::uint8_t>(query->id >> 8);
  wire[1] = static_cast<std::uint8_t>(query->id);
  if (auto answer = read_answer(wire, *query); answer && answer->code > 0xffff) __builtin_trap();
  wire[0] = static_cast<std::uint8_t>(update->id >> 8);
  wire[1] = static_cast<std::uint8_t>(update->id);
  // Without the key no answer is believed.
  if (read_update_answer(wire, *update, key)) __builtin_trap();
  return 0;
}
