// Owning handles for OpenSSL's types: the only place where its _free functions are named. Sharing is by the _up_ref functions,
// spelled out where it happens.
#pragma once

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/decoder.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/pkcs7.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "evercert/result.h"

namespace evercert {

template <auto release>
struct Releaser {
  template <typename Object>
  void operator()(Object* object) const noexcept {
    release(object);
  }
};

inline void release_certificates(STACK_OF(X509) * certificates) {
  sk_X509_pop_free(certificates, X509_free);
}
inline void release_bytes(std::uint8_t* bytes) {
  OPENSSL_free(bytes);
}
inline void release_text(char* text) {
  OPENSSL_free(text);
}
inline void release_names(GENERAL_NAMES* names) {
  GENERAL_NAMES_free(names);
}
inline void release_extensions(STACK_OF(X509_EXTENSION) * extensions) {
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
}

using CertificateHandle = std::unique_ptr<X509, Releaser<X509_free>>;
using CertificatesHandle = std::unique_ptr<STACK_OF(X509), Releaser<release_certificates>>;
using CertificateBagHandle = std::unique_ptr<PKCS7, Releaser<PKCS7_free>>;
using RequestHandle = std::unique_ptr<X509_REQ, Releaser<X509_REQ_free>>;
using KeyHandle = std::unique_ptr<EVP_PKEY, Releaser<EVP_PKEY_free>>;
using KeyInformationHandle = std::unique_ptr<PKCS8_PRIV_KEY_INFO, Releaser<PKCS8_PRIV_KEY_INFO_free>>;
using DecoderHandle = std::unique_ptr<OSSL_DECODER_CTX, Releaser<OSSL_DECODER_CTX_free>>;
using KeyContextHandle = std::unique_ptr<EVP_PKEY_CTX, Releaser<EVP_PKEY_CTX_free>>;
using DigestContextHandle = std::unique_ptr<EVP_MD_CTX, Releaser<EVP_MD_CTX_free>>;
using CipherContextHandle = std::unique_ptr<EVP_CIPHER_CTX, Releaser<EVP_CIPHER_CTX_free>>;
using BioHandle = std::unique_ptr<BIO, Releaser<BIO_free_all>>;
using BigNumberHandle = std::unique_ptr<BIGNUM, Releaser<BN_free>>;
using SignatureHandle = std::unique_ptr<ECDSA_SIG, Releaser<ECDSA_SIG_free>>;
using GeneralNameHandle = std::unique_ptr<GENERAL_NAME, Releaser<GENERAL_NAME_free>>;
using OpensslBytesHandle = std::unique_ptr<std::uint8_t, Releaser<release_bytes>>;  // what i2d_… and …_to_UTF8 allocate
using SubjectHandle = std::unique_ptr<X509_NAME, Releaser<X509_NAME_free>>;
using NamesHandle = std::unique_ptr<GENERAL_NAMES, Releaser<release_names>>;
using ExtensionsHandle = std::unique_ptr<STACK_OF(X509_EXTENSION), Releaser<release_extensions>>;
using ExtensionHandle = std::unique_ptr<X509_EXTENSION, Releaser<X509_EXTENSION_free>>;
using TrustStoreHandle = std::unique_ptr<X509_STORE, Releaser<X509_STORE_free>>;
using TrustContextHandle = std::unique_ptr<X509_STORE_CTX, Releaser<X509_STORE_CTX_free>>;
using TlsContextHandle = std::unique_ptr<SSL_CTX, Releaser<SSL_CTX_free>>;
using TlsHandle = std::unique_ptr<SSL, Releaser<SSL_free>>;

// An error with the first reason of OpenSSL's queue in its sentence; empties the queue, so that a server never finds our
// left-overs there.
Error openssl_error(ErrorKind kind, const std::string& what);

// For every PEM_read_… and PEM_bytes_read_…: without it OpenSSL asks the terminal for the pass phrase of a block that says it
// is encrypted, and a server, an agent or a script stands still.
int refuse_pass_phrase(char* buffer, int size, int writing, void* unused);
// Whether the newest error of OpenSSL's queue is such a block.
bool was_pass_phrase_wanted();
// Whether a PEM text has such a block, a certificate's or a key's.
bool wants_pass_phrase(std::string_view pem);

// Empties OpenSSL's queue when it goes; for callbacks that may fail quietly.
class CleanErrorQueue {
 public:
  CleanErrorQueue() = default;
  CleanErrorQueue(const CleanErrorQueue&) = delete;
  CleanErrorQueue& operator=(const CleanErrorQueue&) = delete;
  ~CleanErrorQueue();
};

}  // namespace evercert
