#include "serving/store/seal.h"

#include <algorithm>
#include <array>
#include <string>

#include "serving/base/encoding.h"
#include "serving/store/gcm.h"

namespace evercert {
namespace {

constexpr std::string_view magic = "EVERCERT";
constexpr std::size_t kind_at = magic.size();
constexpr std::size_t format_at = kind_at + 1;
constexpr std::size_t key_id_at = format_at + 2;
constexpr std::size_t key_id_size = 8;
constexpr std::size_t generation_at = key_id_at + key_id_size;
constexpr std::size_t nonce_at = generation_at + 8;
constexpr std::size_t content_at = nonce_at + gcm_nonce_size;
static_assert(sealed_least == content_at + gcm_tag_size);

Bytes header_of(const std::string& key_id, const SealLabel& label) {
  Bytes header;
  header.reserve(nonce_at);
  header.assign(magic.begin(), magic.end());
  header.push_back(static_cast<std::uint8_t>(label.kind));
  append_big_endian(header, sealed_format, 2);
  append_big_endian(header, std::stoull(key_id, nullptr, 16), key_id_size);
  append_big_endian(header, label.generation, 8);
  return header;
}

bool usable(const SealKey& key) {
  return key.key.view().size() == gcm_key_size && key.id.size() == 2 * key_id_size &&
         std::all_of(key.id.begin(), key.id.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

// What can be said before any cryptography; the order decides which fault a file with several is reported as.
std::optional<SealFault> fault_of_start(const SealKey& key, const SealLabel& label, BytesView start) {
  if (start.empty()) return SealFault::empty;
  const std::size_t known = std::min(start.size(), magic.size());
  if (!std::equal(start.begin(), start.begin() + static_cast<std::ptrdiff_t>(known), magic.begin())) return SealFault::foreign;
  if (start.size() < key_id_at) return SealFault::damaged;
  const std::uint64_t format = big_endian(start.subspan(format_at, 2));
  if (format > sealed_format) return SealFault::newer;
  if (format == 0 || start.size() < sealed_least) return SealFault::damaged;
  if (start[kind_at] != static_cast<std::uint8_t>(label.kind)) return SealFault::damaged;
  if (to_hex(start.subspan(key_id_at, key_id_size)) != key.id) return SealFault::locked;
  if (big_endian(start.subspan(generation_at, 8)) != label.generation) return SealFault::damaged;
  return std::nullopt;
}

Result<Bytes> seal(const SealKey& key, const SealLabel& label, BytesView content) {
  if (!usable(key)) return Error{ErrorKind::internal, "a file cannot be sealed: the seal key is not a key"};
  Bytes file = header_of(key.id, label);
  const Bytes header = file;
  const Bytes nonce = random_bytes(gcm_nonce_size);
  file.reserve(content_at + content.size() + gcm_tag_size);
  file.insert(file.end(), nonce.begin(), nonce.end());
  if (auto sealed = gcm_seal(file, key.key.view(), nonce, {header, bytes_of(label.name)}, content); !sealed)
    return sealed.error().with_prefix("a file");
  return file;
}

Unsealed unseal(const SealKey& key, const SealLabel& label, BytesView file) {
  if (const auto fault = fault_of_start(key, label, file)) return {fault, {}};
  if (!usable(key)) return {SealFault::damaged, {}};
  auto content = gcm_open(key.key.view(), file.subspan(nonce_at, gcm_nonce_size), {file.first(nonce_at), bytes_of(label.name)},
                          file.subspan(content_at));
  if (!content) return {SealFault::damaged, {}};
  return {std::nullopt, std::move(*content)};
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
