// Keys kept as bytes in our own sealed files.
#include <openssl/decoder.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <mutex>
#include <string>
#include <utility>

#include "serving/key/key_provider.h"

namespace evercert {
namespace {

Result<Secret> to_pkcs8(EVP_PKEY* key) {
  // OpenSSL clears a memory BIO's buffer before it gives it back.
  const BioHandle memory(BIO_new(BIO_s_mem()));
  if (!memory || i2d_PKCS8PrivateKey_bio(memory.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return openssl_error(ErrorKind::key_provider, "a private key cannot be written as PKCS#8");
  }
  char* begin = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &begin);
  return Secret(Bytes(begin, begin + size));
}

// OpenSSL 3.0 looks through everything it can decode whenever a key is to be read: twenty times the work of reading it. So this
// is done once for each process.
class KeyReader {
 public:
  KeyReader()
      : decoder_(OSSL_DECODER_CTX_new_for_pkey(&key_, "DER", "PrivateKeyInfo", nullptr, EVP_PKEY_KEYPAIR, nullptr, nullptr)) {}

  // `at` is moved behind what was read. Null: OpenSSL's error queue says why.
  KeyHandle read(BytesView& at) {
    const std::lock_guard lock(mutex_);
    const std::uint8_t* begin = at.data();
    std::size_t left = at.size();
    if (!decoder_ || OSSL_DECODER_from_data(decoder_.get(), &begin, &left) != 1) return nullptr;
    at = at.last(left);
    return KeyHandle(std::exchange(key_, nullptr));
  }

  static KeyReader& of_this_process() {
    static KeyReader reader;
    return reader;
  }

 private:
  std::mutex mutex_;
  EVP_PKEY* key_ = nullptr;  // where the decoder puts what it reads
  DecoderHandle decoder_;
};

class FileKeys : public KeyProvider {
 public:
  Result<PrivateKey> generate(const KeySpec& spec) override {
    KeyHandle key;
    if (spec.algorithm == KeyAlgorithm::rsa && spec.bits >= 2048 && spec.bits <= 4096) {
      key.reset(EVP_RSA_gen(spec.bits));
    } else if (spec.algorithm == KeyAlgorithm::ecdsa) {
      const std::string curve = "P-" + std::to_string(spec.bits);
      key.reset(EVP_EC_gen(curve.c_str()));
    }
    if (!key) return openssl_error(ErrorKind::key_provider, "a private key " + spec.text() + " cannot be made");
    auto bytes = to_pkcs8(key.get());
    if (!bytes) return bytes.error();
    return PrivateKey{std::move(key), std::move(*bytes), {}};
  }

  Result<PrivateKey> open(const Secret& bytes, const std::string& reference) override {
    if (bytes.empty()) {
      return Error{ErrorKind::key_provider, reference.empty() ? "a private key cannot be opened: there are no bytes"
                                                              : "the private key \"" + reference + "\" does not lie in a file"};
    }
    BytesView at = bytes.view();
    KeyHandle key = KeyReader::of_this_process().read(at);
    if (!key) return openssl_error(ErrorKind::key_provider, "a private key cannot be read");
    if (!at.empty()) return Error{ErrorKind::key_provider, "a private key cannot be read: other bytes follow it"};
    return PrivateKey{std::move(key), bytes, {}};
  }
};

}  // namespace

std::unique_ptr<KeyProvider> make_file_keys() {
  return std::make_unique<FileKeys>();
}

Result<PrivateKey> read_pem_key(const Secret& pem) {
  const BioHandle memory(BIO_new_mem_buf(pem.view().data(), static_cast<int>(pem.view().size())));
  KeyHandle key(memory ? PEM_read_bio_PrivateKey(memory.get(), nullptr, refuse_pass_phrase, nullptr) : nullptr);
  if (!key && wants_pass_phrase(pem.text())) {
    const CleanErrorQueue clean;
    return Error{ErrorKind::key_provider, "the private key is encrypted; write it without a password first"};
  }
  if (!key) return openssl_error(ErrorKind::key_provider, "the PEM text holds no private key that can be read");
  auto bytes = to_pkcs8(key.get());
  if (!bytes) return bytes.error();
  return PrivateKey{std::move(key), std::move(*bytes), {}};
}

}  // namespace evercert
