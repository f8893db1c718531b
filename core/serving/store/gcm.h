// AES-256-GCM (NIST SP 800-38D) with 96-bit nonces and 128-bit tags: what files and messages are sealed with. A nonce is used
// once under a key; that is the caller's to see to.
#pragma once

#include <initializer_list>
#include <optional>

#include "evercert/result.h"
#include "evercert/secret.h"

namespace evercert {

constexpr std::size_t gcm_key_size = 32;
constexpr std::size_t gcm_nonce_size = 12;
constexpr std::size_t gcm_tag_size = 16;

// Appends ciphertext and tag to `out`. `associated`: authenticated and not sent; its parts count as one after the other.
// Errors: internal.
Result<Done> gcm_seal(Bytes& out, BytesView key, BytesView nonce, std::initializer_list<BytesView> associated,
                      BytesView content);
// The content of ciphertext and tag; nullopt when they were not sealed so.
std::optional<Secret> gcm_open(BytesView key, BytesView nonce, std::initializer_list<BytesView> associated, BytesView sealed);

// Integers in what is sealed are big-endian.
void append_big_endian(Bytes& bytes, std::uint64_t number, unsigned count);
std::uint64_t big_endian(BytesView bytes);

}  // namespace evercert
