#include "agent/acme/chain.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <algorithm>

#include "serving/base/files.h"
#include "serving/base/openssl_handles.h"

namespace evercert {
namespace {

// Real chains have two to four; the limit bounds the work that a hostile answer can cause.
constexpr std::size_t certificate_limit = 32;

Error broken(const std::string& why, ErrorKind kind = ErrorKind::issuer_refused) {
  const CleanErrorQueue clean;
  return {kind, "the certificate chain from the CA cannot be used: " + why};
}

// What is no certificate at all says nothing about the one that was issued: it is asked for again.
Error garbled(const std::string& why) {
  return broken(why, ErrorKind::connection);
}

Result<std::string> digest_of(X509_PUBKEY* key) {
  std::uint8_t* der = nullptr;
  const int length = i2d_X509_PUBKEY(key, &der);
  if (length <= 0) return broken("a public key could not be read");
  const OpensslBytesHandle owned(der);
  return to_hex(sha256({der, static_cast<std::size_t>(length)}));
}

Bytes der_of(X509* certificate) {
  Bytes der(static_cast<std::size_t>(std::max(i2d_X509(certificate, nullptr), 0)));
  std::uint8_t* position = der.data();
  i2d_X509(certificate, &position);
  return der;
}

std::string issuer_name(X509* certificate) {
  const X509_NAME* name = X509_get_issuer_name(certificate);
  const int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (index < 0) return {};
  std::uint8_t* text = nullptr;
  const int length = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)));
  if (length < 0) return {};
  const OpensslBytesHandle owned(text);
  return {reinterpret_cast<const char*>(text), static_cast<std::size_t>(length)};
}

bool is_root(X509* certificate) {
  return X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)) == 0;
}

bool signs(X509* issuer, X509* subject) {
  if (X509_NAME_cmp(X509_get_subject_name(issuer), X509_get_issuer_name(subject)) != 0) return false;
  EVP_PKEY* key = X509_get0_pubkey(issuer);
  const bool good = key != nullptr && X509_verify(subject, key) == 1;
  const CleanErrorQueue clean;
  return good;
}

Result<std::vector<CertificateHandle>> read_all(std::string_view pem) {
  const BioHandle input(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (!input) return broken("there is no memory to read it");
  std::vector<CertificateHandle> certificates;
  while (CertificateHandle certificate{PEM_read_bio_X509(input.get(), nullptr, nullptr, nullptr)}) {
    if (certificates.size() == certificate_limit) {
      return broken("it has more than " + std::to_string(certificate_limit) + " certificates");
    }
    certificates.push_back(std::move(certificate));
  }
  // The end of the text is "no start line"; anything else is a damaged certificate.
  const unsigned long reason = ERR_peek_last_error();
  const CleanErrorQueue clean;
  if (ERR_GET_LIB(reason) != ERR_LIB_PEM || ERR_GET_REASON(reason) != PEM_R_NO_START_LINE) {
    return garbled("certificate " + std::to_string(certificates.size() + 1) + " in it is damaged");
  }
  if (certificates.empty()) return garbled("there is no certificate in it");
  return certificates;
}

}  // namespace

Result<Chain> read_chain(std::string_view pem, const std::string& request_key) {
  auto read = read_all(pem);
  if (!read) return read.error();
  std::vector<CertificateHandle>& certificates = *read;
  X509* current = nullptr;
  for (const auto& certificate : certificates) {
    auto digest = digest_of(X509_get_X509_PUBKEY(certificate.get()));
    if (digest && *digest == request_key) {
      current = certificate.get();
      break;
    }
  }
  if (current == nullptr) return broken("none of its certificates is for the key of our request");

  Chain chain;
  chain.certificates.leaf = der_of(current);
  std::vector<X509*> used{current};
  for (;;) {
    chain.issuer_names.push_back(issuer_name(current));
    if (is_root(current)) break;
    X509* issuer = nullptr;
    for (const auto& candidate : certificates) {
      const bool taken = std::find(used.begin(), used.end(), candidate.get()) != used.end();
      if (!taken && signs(candidate.get(), current)) {
        issuer = candidate.get();
        break;
      }
    }
    if (issuer == nullptr) break;
    used.push_back(issuer);
    if (!is_root(issuer)) chain.certificates.chain.push_back(der_of(issuer));
    current = issuer;
  }
  if (used.size() == 1 && certificates.size() > 1) {
    return broken("none of the certificates sent with the leaf has signed it");
  }
  return chain;
}

Result<std::string> request_key_digest(BytesView request) {
  const std::uint8_t* position = request.data();
  const RequestHandle parsed(d2i_X509_REQ(nullptr, &position, static_cast<long>(request.size())));
  if (!parsed) return openssl_error(ErrorKind::internal, "the certificate request cannot be read");
  return digest_of(X509_REQ_get_X509_PUBKEY(parsed.get()));
}

}  // namespace evercert
