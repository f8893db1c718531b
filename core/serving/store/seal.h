// The envelope around everything we keep on disk: AES-256-GCM, bound to what the file is and where it belongs, so that a
// copied, renamed or exchanged file does not open.
//
// Bytes: "EVERCERT" | kind (1) | format (u16) | key id (8) | generation (u64) | nonce (12) | ciphertext | tag (16), integers
// big-endian. Associated data: all header bytes before the nonce, then the logical name.
#pragma once

#include <cstdint>
#include <string_view>

#include "evercert/result.h"
#include "evercert/secret.h"
#include "evercert/state.h"

namespace evercert {

enum class SealedKind : std::uint8_t { bundle = 1, account = 2, order = 3, challenge = 4, message = 5 };
constexpr std::uint16_t sealed_format = 1;

struct SealLabel {
  SealedKind kind;
  std::string_view name;         // the logical name: certificate, account id, order key, token
  std::uint64_t generation = 0;  // bundles; 0 elsewhere
};

Result<Bytes> seal(const SealKey& key, const SealLabel& label, BytesView content);

enum class SealFault {
  empty,    // no bytes at all
  foreign,  // not ours
  newer,    // written by a newer release: leave it, ask a person
  locked,   // sealed under a key we do not have: leave it, ask a person
  damaged,  // truncated, flipped, or belongs to another name or generation
};

struct Unsealed {
  std::optional<SealFault> fault;  // then content is empty
  Secret content;
};
// The same of a file's first bytes (sealed_least of them, or all): a fault that no bytes behind them can mend.
std::optional<SealFault> fault_of_start(const SealKey& key, const SealLabel& label, BytesView start);
constexpr std::size_t sealed_least = 55;  // header, nonce and tag: no sealed file is shorter
Unsealed unseal(const SealKey& key, const SealLabel& label, BytesView file);

// empty, foreign, damaged → storage (to be quarantined); newer, locked → action_required (to be left alone). One sentence.
Error seal_error(SealFault fault, const std::string& what);

}  // namespace evercert
