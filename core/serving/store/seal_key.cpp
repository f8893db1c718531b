#include "serving/store/seal_key.h"

#include <openssl/crypto.h>
#include <openssl/kdf.h>

#include <string>

#include "serving/base/encoding.h"
#include "serving/base/openssl_handles.h"

namespace evercert {
namespace {

constexpr std::size_t root_size = 32;
constexpr std::string_view first_words = "evercert-seal-key 1 ";

Result<Secret> derive(const Secret& root, std::string_view purpose, std::size_t size) {
  return hkdf_sha256(root.view(), bytes_of("evercert seal.key 1"), purpose, size);
}

}  // namespace

Result<Secret> hkdf_sha256(BytesView key, BytesView salt, std::string_view info, std::size_t size) {
  Bytes derived(size);
  std::size_t got = size;
  const KeyContextHandle context(EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, nullptr));
  const BytesView purpose = bytes_of(info);
  const bool done = context && EVP_PKEY_derive_init(context.get()) == 1 &&
                    EVP_PKEY_CTX_set_hkdf_md(context.get(), EVP_sha256()) == 1 &&
                    EVP_PKEY_CTX_set1_hkdf_salt(context.get(), salt.data(), static_cast<int>(salt.size())) == 1 &&
                    EVP_PKEY_CTX_set1_hkdf_key(context.get(), key.data(), static_cast<int>(key.size())) == 1 &&
                    EVP_PKEY_CTX_add1_hkdf_info(context.get(), purpose.data(), static_cast<int>(purpose.size())) == 1 &&
                    EVP_PKEY_derive(context.get(), derived.data(), &got) == 1 && got == size;
  if (!done) return openssl_error(ErrorKind::internal, "keys cannot be derived from seal.key");
  return Secret(std::move(derived));
}

Result<SealKeys> derive_seal_keys(const Secret& root) {
  auto serving = derive(root, "serving", 32);
  if (!serving) return serving.error();
  auto agent = derive(root, "agent", 32);
  if (!agent) return agent.error();
  auto id = derive(root, "id", 8);
  if (!id) return id.error();
  const std::string name = to_hex(id->view());
  return SealKeys{SealKey{name, std::move(*serving)}, SealKey{name, std::move(*agent)}};
}

Secret seal_key_text(const Secret& root) {
  std::string encoded = to_base64url(root.view());
  Bytes text;
  text.reserve(first_words.size() + encoded.size() + 1);
  text.insert(text.end(), first_words.begin(), first_words.end());
  text.insert(text.end(), encoded.begin(), encoded.end());
  text.push_back('\n');
  OPENSSL_cleanse(encoded.data(), encoded.size());
  return Secret(std::move(text));
}

Result<Secret> read_seal_key_text(BytesView text, const std::string& path) {
  std::string_view line(reinterpret_cast<const char*>(text.data()), text.size());
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  const Error damaged{ErrorKind::storage,
                      "\"" + path +
                          "\" is damaged: it does not hold a seal key; restore it from a backup, without it no "
                          "certificate key on disk can be opened"};
  if (!line.starts_with("evercert-seal-key ")) return damaged;
  if (!line.starts_with(first_words)) {
    return Error{ErrorKind::action_required,
                 "\"" + path + "\" was written by a newer release of evercert: install that release again"};
  }
  auto root = from_base64url(line.substr(first_words.size()));
  if (!root) return damaged;
  Secret owned(std::move(*root));
  if (owned.view().size() != root_size) return damaged;
  return owned;
}

}  // namespace evercert
