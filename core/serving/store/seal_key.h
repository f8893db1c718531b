// From the one secret of a state directory (state_path/seal.key) to the keys that seal its files. Used by state.h's seal_keys
// and by tests. The derivation never changes: every file on disk depends on it.
#pragma once

#include <string_view>

#include "evercert/result.h"
#include "evercert/secret.h"
#include "evercert/state.h"

namespace evercert {

// RFC 5869 with SHA-256.
Result<Secret> hkdf_sha256(BytesView key, BytesView salt, std::string_view info, std::size_t size);

// The serving key, the agent key and their common id from the 32 bytes of a seal.key.
Result<SealKeys> derive_seal_keys(const Secret& root);

// seal.key as text, one line, and back. Errors of reading: storage.
Secret seal_key_text(const Secret& root);
Result<Secret> read_seal_key_text(BytesView text, const std::string& path);

}  // namespace evercert
