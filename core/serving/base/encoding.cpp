// Hexadecimal, base64 and base64url (RFC 4648), SHA-256 and random bytes.
#include "serving/base/encoding.h"

#include <openssl/rand.h>
#include <openssl/sha.h>

#include <array>
#include <new>

namespace evercert {

namespace {

constexpr std::string_view standard_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view url_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::uint8_t not_a_digit = 0xff;

using Digits = std::array<std::uint8_t, 256>;

constexpr Digits digits_of(std::string_view alphabet) {
  Digits digits{};
  for (auto& digit : digits) digit = not_a_digit;
  for (std::size_t value = 0; value < alphabet.size(); ++value)
    digits[static_cast<unsigned char>(alphabet[value])] = static_cast<std::uint8_t>(value);
  return digits;
}

constexpr Digits standard_digits = digits_of(standard_alphabet);
constexpr Digits url_digits = digits_of(url_alphabet);

std::string encode(BytesView bytes, std::string_view alphabet) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  std::uint32_t pending = 0;
  unsigned bits = 0;
  for (const std::uint8_t byte : bytes) {
    pending = (pending << 8U) | byte;
    bits += 8;
    while (bits >= 6) {
      bits -= 6;
      text += alphabet[(pending >> bits) & 63U];
    }
  }
  if (bits > 0) text += alphabet[(pending << (6 - bits)) & 63U];
  return text;
}

// The digits only, without padding.
Result<Bytes> decode(std::string_view text, const Digits& digits) {
  const Error refused{ErrorKind::issuer_refused, "not valid base64"};
  if (text.size() % 4 == 1) return refused;
  Bytes bytes;
  bytes.reserve(text.size() * 3 / 4);
  std::uint32_t pending = 0;
  unsigned bits = 0;
  for (const char character : text) {
    const std::uint8_t digit = digits[static_cast<unsigned char>(character)];
    if (digit == not_a_digit) return refused;
    pending = (pending << 6U) | digit;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes.push_back(static_cast<std::uint8_t>((pending >> bits) & 0xffU));
    }
  }
  if ((pending & ((1U << bits) - 1U)) != 0) return refused;
  return bytes;
}

}  // namespace

Bytes random_bytes(std::size_t count) {
  Bytes bytes(count);
  // Without randomness nothing we do is safe; there is no answer a caller could use.
  if (RAND_bytes(bytes.data(), static_cast<int>(count)) != 1) throw std::bad_alloc();
  return bytes;
}

std::string to_hex(BytesView bytes) {
  constexpr std::string_view alphabet = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    text += alphabet[byte >> 4U];
    text += alphabet[byte & 15U];
  }
  return text;
}

Bytes sha256(BytesView bytes) {
  Bytes digest(SHA256_DIGEST_LENGTH);
  SHA256(bytes.data(), bytes.size(), digest.data());
  return digest;
}

std::string to_base64url(BytesView bytes) {
  return encode(bytes, url_alphabet);
}
Result<Bytes> from_base64url(std::string_view text) {
  return decode(text, url_digits);
}

std::string to_base64(BytesView bytes) {
  std::string text = encode(bytes, standard_alphabet);
  text.append((4 - text.size() % 4) % 4, '=');
  return text;
}

Result<Bytes> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return Error{ErrorKind::issuer_refused, "not valid base64"};
  if (text.ends_with('=')) text.remove_suffix(1);
  if (text.ends_with('=')) text.remove_suffix(1);
  return decode(text, standard_digits);
}

}  // namespace evercert
