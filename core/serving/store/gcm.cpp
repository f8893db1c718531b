#include "serving/store/gcm.h"

#include "serving/base/openssl_handles.h"

namespace evercert {
namespace {

constexpr std::size_t largest_content = std::size_t{1} << 30;

int size_of(BytesView bytes) {
  return static_cast<int>(bytes.size());
}

}  // namespace

Result<Done> gcm_seal(Bytes& out, BytesView key, BytesView nonce, std::initializer_list<BytesView> associated,
                      BytesView content) {
  if (content.size() > largest_content) return Error{ErrorKind::internal, "it cannot be sealed: it is too large"};
  const std::size_t begin = out.size();
  out.resize(begin + content.size() + gcm_tag_size);
  std::uint8_t* const sealed = out.data() + begin;
  const CipherContextHandle context(EVP_CIPHER_CTX_new());
  int written = 0;
  int rest = 0;
  bool done = key.size() == gcm_key_size && nonce.size() == gcm_nonce_size && context &&
              EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), nonce.data()) == 1;
  for (const BytesView part : associated)
    done = done && EVP_EncryptUpdate(context.get(), nullptr, &written, part.data(), size_of(part)) == 1;
  done = done && EVP_EncryptUpdate(context.get(), sealed, &written, content.data(), size_of(content)) == 1 &&
         EVP_EncryptFinal_ex(context.get(), sealed + written, &rest) == 1 &&
         EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, gcm_tag_size, sealed + content.size()) == 1;
  if (!done) return openssl_error(ErrorKind::internal, "it cannot be sealed");
  return Done{};
}

std::optional<Secret> gcm_open(BytesView key, BytesView nonce, std::initializer_list<BytesView> associated, BytesView sealed) {
  if (sealed.size() < gcm_tag_size || key.size() != gcm_key_size || nonce.size() != gcm_nonce_size) return std::nullopt;
  const CleanErrorQueue clean;
  const BytesView hidden = sealed.first(sealed.size() - gcm_tag_size);
  Bytes tag(sealed.end() - static_cast<std::ptrdiff_t>(gcm_tag_size), sealed.end());
  Bytes content(hidden.size());
  const CipherContextHandle context(EVP_CIPHER_CTX_new());
  int written = 0;
  int rest = 0;
  bool opened = context && EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), nonce.data()) == 1;
  for (const BytesView part : associated)
    opened = opened && EVP_DecryptUpdate(context.get(), nullptr, &written, part.data(), size_of(part)) == 1;
  opened = opened && EVP_DecryptUpdate(context.get(), content.data(), &written, hidden.data(), size_of(hidden)) == 1 &&
           EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, gcm_tag_size, tag.data()) == 1 &&
           EVP_DecryptFinal_ex(context.get(), content.data() + written, &rest) == 1;
  Secret owned(std::move(content));
  if (!opened) return std::nullopt;
  return owned;
}

void append_big_endian(Bytes& bytes, std::uint64_t number, unsigned count) {
  for (unsigned left = count; left > 0; --left) bytes.push_back(static_cast<std::uint8_t>(number >> (8 * (left - 1))));
}

std::uint64_t big_endian(BytesView bytes) {
  std::uint64_t number = 0;
  for (const std::uint8_t byte : bytes) number = (number << 8) | byte;
  return number;
}

}  // namespace evercert
