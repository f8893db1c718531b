#include "serving/certificate/kept_pem.h"

#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>

#include "serving/certificate/bundle.h"
#include "serving/key/key_provider.h"

namespace evercert {

namespace {

CertificateHandle first_in(const Secret& text) {
  const BioHandle memory(::BIO_new_mem_buf(text.view().data(), static_cast<int>(text.view().size())));
  return CertificateHandle(memory ? ::PEM_read_bio_X509(memory.get(), nullptr, refuse_pass_phrase, nullptr) : nullptr);
}

Bytes der_of(X509* certificate) {
  std::uint8_t* bytes = nullptr;
  const int size = certificate == nullptr ? 0 : ::i2d_X509(certificate, &bytes);
  const OpensslBytesHandle der(bytes);
  return size > 0 ? Bytes(der.get(), der.get() + size) : Bytes();
}

}  // namespace

Bytes first_certificate(const Secret& text) {
  const CleanErrorQueue clean;
  return der_of(first_in(text).get());
}

KeptPem judge_pem(const Secret& text, const std::vector<Identifier>& names, std::chrono::system_clock::time_point now) {
  const CleanErrorQueue clean;
  const CertificateHandle leaf = first_in(text);
  const auto key = leaf ? read_pem_key(text) : Result<PrivateKey>(Error{});
  if (!key || ::X509_check_private_key(leaf.get(), key->handle.get()) != 1) return KeptPem::useless;
  const auto facts = leaf_facts(der_of(leaf.get()));
  if (!facts || facts->not_after <= now) return KeptPem::useless;
  const bool has_all = std::all_of(names.begin(), names.end(), [&](const Identifier& name) {
    return std::find(facts->identifiers.begin(), facts->identifiers.end(), name) != facts->identifiers.end();
  });
  if (!has_all) return KeptPem::useless;
  const bool by_itself = ::X509_NAME_cmp(::X509_get_subject_name(leaf.get()), ::X509_get_issuer_name(leaf.get())) == 0;
  return by_itself ? KeptPem::stand_in : KeptPem::issued;
}

}  // namespace evercert
