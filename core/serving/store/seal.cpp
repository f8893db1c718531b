#include "serving/store/seal.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <string>

#include "serving/base/files.h"
#include "serving/base/openssl_handles.h"

namespace evercert {
namespace {

constexpr std::string_view magic = "EVERCERT";
constexpr std::size_t kind_at = magic.size();
constexpr std::size_t format_at = kind_at + 1;
constexpr std::size_t key_id_at = format_at + 2;
constexpr std::size_t key_id_size = 8;
constexpr std::size_t generation_at = key_id_at + key_id_size;
constexpr std::size_t nonce_at = generation_at + 8;
constexpr std::size_t nonce_size = 12;
constexpr std::size_t content_at = nonce_at + nonce_size;
constexpr std::size_t tag_size = 16;
constexpr std::size_t key_size = 32;

void append_big_endian(Bytes& bytes, std::uint64_t number, unsigned count) {
  for (unsigned left = count; left > 0; --left) bytes.push_back(static_cast<std::uint8_t>(number >> (8 * (left - 1))));
}

std::uint64_t big_endian(BytesView bytes) {
  std::uint64_t number = 0;
  for (const std::uint8_t byte : bytes) number = (number << 8) | byte;
  return number;
}

Bytes header_of(const std::string& key_id, const SealLabel& label) {
  Bytes header(magic.begin(), magic.end());
  header.push_back(static_cast<std::uint8_t>(label.kind));
  append_big_endian(header, sealed_format, 2);
  append_big_endian(header, std::stoull(key_id, nullptr, 16), key_id_size);
  append_big_endian(header, label.generation, 8);
  return header;
}

bool usable(const SealKey& key) {
  return key.key.view().size() == key_size && key.id.size() == 2 * key_id_size &&
         std::all_of(key.id.begin(), key.id.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

int size_of(std::size_t size) {
  return static_cast<int>(size);
}

// What can be said before any cryptography; the order decides which fault a file with several is reported as.
std::optional<SealFault> fault_of_header(const SealKey& key, const SealLabel& label, BytesView file) {
  if (file.empty()) return SealFault::empty;
  const std::size_t known = std::min(file.size(), magic.size());
  if (!std::equal(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(known), magic.begin())) return SealFault::foreign;
  if (file.size() < key_id_at) return SealFault::damaged;
  const std::uint64_t format = big_endian(file.subspan(format_at, 2));
  if (format > sealed_format) return SealFault::newer;
  if (format == 0 || file.size() < content_at + tag_size) return SealFault::damaged;
  if (file[kind_at] != static_cast<std::uint8_t>(label.kind)) return SealFault::damaged;
  if (to_hex(file.subspan(key_id_at, key_id_size)) != key.id) return SealFault::locked;
  if (big_endian(file.subspan(generation_at, 8)) != label.generation) return SealFault::damaged;
  return std::nullopt;
}

}  // namespace

Result<Bytes> seal(const SealKey& key, const SealLabel& label, BytesView content) {
  if (!usable(key)) return Error{ErrorKind::internal, "a file cannot be sealed: the seal key is not a key"};
  if (content.size() > (std::size_t{1} << 30)) return Error{ErrorKind::internal, "a file cannot be sealed: it is too large"};
  Bytes file = header_of(key.id, label);
  const Bytes header = file;
  const Bytes nonce = random_bytes(nonce_size);
  file.insert(file.end(), nonce.begin(), nonce.end());
  file.resize(content_at + content.size() + tag_size);

  const CipherContextHandle context(EVP_CIPHER_CTX_new());
  std::uint8_t* const sealed = file.data() + content_at;
  int written = 0;
  int rest = 0;
  const bool done =
      context && EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.key.view().data(), nonce.data()) == 1 &&
      EVP_EncryptUpdate(context.get(), nullptr, &written, header.data(), size_of(header.size())) == 1 &&
      EVP_EncryptUpdate(context.get(), nullptr, &written, reinterpret_cast<const std::uint8_t*>(label.name.data()),
                        size_of(label.name.size())) == 1 &&
      EVP_EncryptUpdate(context.get(), sealed, &written, content.data(), size_of(content.size())) == 1 &&
      EVP_EncryptFinal_ex(context.get(), sealed + written, &rest) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, size_of(tag_size), sealed + content.size()) == 1;
  if (!done) return openssl_error(ErrorKind::internal, "a file cannot be sealed");
  return file;
}

Unsealed unseal(const SealKey& key, const SealLabel& label, BytesView file) {
  if (const auto fault = fault_of_header(key, label, file)) return {fault, {}};
  const CleanErrorQueue clean;
  const BytesView sealed = file.subspan(content_at, file.size() - content_at - tag_size);
  Bytes tag(file.end() - static_cast<std::ptrdiff_t>(tag_size), file.end());
  Bytes content(sealed.size());

  const CipherContextHandle context(EVP_CIPHER_CTX_new());
  int written = 0;
  int rest = 0;
  const bool opened =
      usable(key) && context &&
      EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.key.view().data(), file.data() + nonce_at) == 1 &&
      EVP_DecryptUpdate(context.get(), nullptr, &written, file.data(), size_of(nonce_at)) == 1 &&
      EVP_DecryptUpdate(context.get(), nullptr, &written, reinterpret_cast<const std::uint8_t*>(label.name.data()),
                        size_of(label.name.size())) == 1 &&
      EVP_DecryptUpdate(context.get(), content.data(), &written, sealed.data(), size_of(sealed.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, size_of(tag_size), tag.data()) == 1 &&
      EVP_DecryptFinal_ex(context.get(), content.data() + written, &rest) == 1;
  Secret owned(std::move(content));
  if (!opened) return {SealFault::damaged, {}};
  return {std::nullopt, std::move(owned)};
}

Error seal_error(SealFault fault, const std::string& what) {
  switch (fault) {
    case SealFault::empty:
      return {ErrorKind::storage, what + " is damaged: the file is empty"};
    case SealFault::foreign:
      return {ErrorKind::storage, what + " is damaged: the file was not written by evercert"};
    case SealFault::newer:
      return {ErrorKind::action_required,
              what + " was written by a newer release of evercert and is left alone: install that release again"};
    case SealFault::locked:
      return {ErrorKind::action_required,
              what +
                  " is locked: it was sealed under another seal.key; put that file back beside the state directory, or "
                  "move the locked file away to have it made anew"};
    case SealFault::damaged:
      break;
  }
  return {ErrorKind::storage, what + " is damaged: its contents do not open under its name (truncated, changed or renamed)"};
}

}  // namespace evercert
