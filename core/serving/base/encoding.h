// Bytes as text (RFC 4648), digests and random numbers.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "evercert/result.h"
#include "evercert/secret.h"

namespace evercert {

Bytes random_bytes(std::size_t count);
std::string to_hex(BytesView bytes);
Bytes sha256(BytesView bytes);
std::string to_base64url(BytesView bytes);  // RFC 4648 section 5, without padding
// Refuses padding, other alphabets, trailing bits that are not zero.
Result<Bytes> from_base64url(std::string_view text);
std::string to_base64(BytesView bytes);
Result<Bytes> from_base64(std::string_view text);

}  // namespace evercert
