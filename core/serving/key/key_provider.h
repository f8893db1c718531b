// Key providers make, open and use private keys. One so far: keys that live in our own sealed files. A request is signed
// through the provider, never from key bytes, so that keys in tokens fit.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "evercert/plan.h"
#include "evercert/result.h"
#include "evercert/secret.h"
#include "serving/base/openssl_handles.h"

namespace evercert {

// A usable private key and the form in which it is kept: bytes (PKCS#8 DER) or a reference.
struct PrivateKey {
  KeyHandle handle;
  Secret bytes;
  std::string reference;
};

class KeyProvider {
 public:
  virtual ~KeyProvider() = default;
  virtual Result<PrivateKey> generate(const KeySpec& spec) = 0;
  virtual Result<PrivateKey> open(const Secret& bytes, const std::string& reference) = 0;
};

// Keys as PKCS#8 DER in memory and in sealed files.
std::unique_ptr<KeyProvider> make_file_keys();

// A PKCS#10 request, DER: subjectAltName for all identifiers, subject empty or with the first dns identifier as common name
// when that is asked for and at most 64 characters long. Errors: key_provider.
Result<Bytes> make_request(const PrivateKey& key, const std::vector<Identifier>& identifiers, bool common_name);

// Reads a PEM private key (PKCS#8, SEC1, PKCS#1; unencrypted) into PKCS#8.
Result<PrivateKey> read_pem_key(const Secret& pem);
// What kind of key this is; configuration error for kinds we do not serve.
Result<KeySpec> spec_of(EVP_PKEY* key);

}  // namespace evercert
