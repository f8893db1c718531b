#include "serving/certificate/kept_pem.h"

#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>

#include "serving/certificate/bundle.h"
#include "serving/key/key_provider.h"

namespace evercert {

KeptPem judge_pem(const Secret& text, const std::vector<Identifier>& names, std::chrono::system_clock::time_point now) {
  const CleanErrorQueue clean;
  const BioHandle memory(::BIO_new_mem_buf(text.view().data(), static_cast<int>(text.view().size())));
  const CertificateHandle leaf(memory ? ::PEM_read_bio_X509(memory.get(), nullptr, refuse_pass_phrase, nullptr) : nullptr);
  const auto key = leaf ? read_pem_key(text) : Result<PrivateKey>(Error{});
  if (!key || ::X509_check_private_key(leaf.get(), key->handle.get()) != 1) return KeptPem::useless;
  std::uint8_t* bytes = nullptr;
  const int size = ::i2d_X509(leaf.get(), &bytes);
  const OpensslBytesHandle der(bytes);
  const auto facts = size > 0 ? leaf_facts({der.get(), static_cast<std::size_t>(size)}) : Result<LeafFacts>(Error{});
  if (!facts || facts->not_after <= now) return KeptPem::useless;
  const bool has_all = std::all_of(names.begin(), names.end(), [&](const Identifier& name) {
    return std::find(facts->identifiers.begin(), facts->identifiers.end(), name) != facts->identifiers.end();
  });
  if (!has_all) return KeptPem::useless;
  const bool by_itself = ::X509_NAME_cmp(::X509_get_subject_name(leaf.get()), ::X509_get_issuer_name(leaf.get())) == 0;
  return by_itself ? KeptPem::stand_in : KeptPem::issued;
}

}  // namespace evercert
