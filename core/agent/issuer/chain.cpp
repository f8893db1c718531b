#include "agent/issuer/chain.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <algorithm>

#include "serving/base/encoding.h"
#include "serving/base/openssl_handles.h"
#include "serving/certificate/read_certificate.h"

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

// A certificate of the text: as it stands there, and read.
struct Sent {
  Bytes der;
  CertificateHandle certificate;
};

// What stands between the lines of the next block of that name.
OpensslBytesHandle next_block(BIO* input, const char* name, long& size) {
  std::uint8_t* begin = nullptr;
  if (PEM_bytes_read_bio(&begin, &size, nullptr, name, input, refuse_pass_phrase, nullptr) != 1) begin = nullptr;
  return OpensslBytesHandle(begin);
}

// The certificates of a PKCS#7 wrapper (RFC 2315 section 9.1), as their DER stands in it.
std::vector<Bytes> unwrapped(const std::uint8_t* begin, long size) {
  std::vector<Bytes> certificates;
  const CertificateBagHandle bag(d2i_PKCS7(nullptr, &begin, size));
  const STACK_OF(X509)* all = bag && PKCS7_type_is_signed(bag.get()) && bag->d.sign ? bag->d.sign->cert : nullptr;
  for (int i = 0; i < sk_X509_num(all); ++i) {
    std::uint8_t* bytes = nullptr;
    const int length = i2d_X509(sk_X509_value(all, i), &bytes);
    const OpensslBytesHandle owned(bytes);
    if (length > 0) certificates.emplace_back(bytes, bytes + length);
  }
  return certificates;
}

// Every certificate of the text as DER; whether its blocks are whole is in OpenSSL's error queue.
std::vector<Bytes> blocks_of(BIO* input, const char* name) {
  std::vector<Bytes> found;
  long size = 0;
  while (const auto block = next_block(input, name, size)) {
    if (std::string_view(name) == PEM_STRING_X509) {
      found.emplace_back(block.get(), block.get() + size);
    } else {
      for (auto& der : unwrapped(block.get(), size)) found.push_back(std::move(der));
    }
    if (found.size() > certificate_limit) break;
  }
  return found;
}

Result<std::vector<Sent>> read_all(std::string_view pem) {
  const CleanErrorQueue clean;
  std::vector<Sent> all;
  for (const char* name : {PEM_STRING_X509, PEM_STRING_PKCS7}) {
    const BioHandle input(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    if (!input) return broken("there is no memory to read it");
    for (auto& der : blocks_of(input.get(), name)) {
      if (all.size() == certificate_limit) {
        return broken("it has more than " + std::to_string(certificate_limit) + " certificates");
      }
      auto certificate = read_certificate(der);
      if (!certificate) return garbled("certificate " + std::to_string(all.size() + 1) + " in it is damaged");
      all.push_back({std::move(der), std::move(*certificate)});
    }
    if (was_pass_phrase_wanted()) {
      return garbled("certificate " + std::to_string(all.size() + 1) + " in it is encrypted, which no certificate is");
    }
    // The end of the text is "no start line"; anything else is a damaged block.
    const unsigned long reason = ERR_peek_last_error();
    if (ERR_GET_LIB(reason) != ERR_LIB_PEM || ERR_GET_REASON(reason) != PEM_R_NO_START_LINE) {
      return garbled("certificate " + std::to_string(all.size() + 1) + " in it is damaged");
    }
  }
  if (all.empty()) return garbled("there is no certificate in it");
  return all;
}

std::string digest_of(BytesView public_key) {
  return to_hex(sha256(public_key));
}

Result<Chain> chain_from(const std::vector<Sent>& all, const Sent& leaf) {
  Chain chain;
  chain.certificates.leaf = leaf.der;
  std::vector<const Sent*> used{&leaf};
  for (;;) {
    X509* const current = used.back()->certificate.get();
    chain.issuer_names.push_back(issuer_name(current));
    if (is_root(current)) break;
    const auto issuer = std::find_if(all.begin(), all.end(), [&](const Sent& candidate) {
      const bool taken = std::find(used.begin(), used.end(), &candidate) != used.end();
      return !taken && signs(candidate.certificate.get(), current);
    });
    if (issuer == all.end()) break;
    used.push_back(&*issuer);
    if (!is_root(issuer->certificate.get())) chain.certificates.chain.push_back(issuer->der);
  }
  if (used.size() == 1 && all.size() > 1) {
    return broken("none of the certificates sent with the leaf has signed it");
  }
  return chain;
}

}  // namespace

Result<Chain> read_chain(std::string_view pem, const std::string& request_key) {
  auto all = read_all(pem);
  if (!all) return all.error();
  const auto leaf = std::find_if(all->begin(), all->end(),
                                 [&](const Sent& one) { return digest_of(public_key_in_certificate(one.der)) == request_key; });
  if (leaf == all->end()) return broken("none of its certificates is for the key of our request");
  return chain_from(*all, *leaf);
}

Result<Chain> read_issued_chain(std::string_view pem) {
  auto all = read_all(pem);
  if (!all) return all.error();
  const auto leaf = std::find_if(all->begin(), all->end(), [](const Sent& one) {
    return (X509_get_extension_flags(one.certificate.get()) & EXFLAG_CA) == 0;
  });
  if (leaf == all->end()) return broken("none of its certificates is a server's");
  return chain_from(*all, *leaf);
}

Result<std::string> request_key_digest(BytesView request) {
  const BytesView key = public_key_in_request(request);
  if (key.empty()) return Error{ErrorKind::internal, "the certificate request cannot be read"};
  return digest_of(key);
}

}  // namespace evercert
