// Signing for ACME: JSON Web Signatures in flattened form (RFC 7515, RFC 8555 section 6.2) and the thumbprint of the account
// key (RFC 7638). Used by what talks to an ACME server. Thread-safe: a key is not changed once made.
#pragma once

#include <openssl/evp.h>

#include <string>
#include <string_view>

#include "evercert/plan.h"
#include "evercert/result.h"
#include "evercert/secret.h"
#include "serving/base/openssl_handles.h"

namespace evercert {

// A private key with all that is said about it in every request. ECDSA: ES256, ES384, ES512 by its curve; RSA: RS256.
class AccountKey {
 public:
  // Errors: configuration, for keys that ACME servers do not take.
  static Result<AccountKey> make(KeyHandle key);

  [[nodiscard]] const std::string& algorithm() const { return algorithm_; }
  // The public key as JSON, members in the order of RFC 7638 section 3.2.
  [[nodiscard]] const std::string& jwk() const { return jwk_; }
  [[nodiscard]] const std::string& thumbprint() const { return thumbprint_; }
  [[nodiscard]] Result<Bytes> sign(std::string_view text) const;

 private:
  AccountKey() = default;
  Result<Done> describe_ec();
  Result<Done> describe_rsa();

  KeyHandle key_;
  const EVP_MD* digest_ = nullptr;
  int coordinate_ = 0;  // bytes of one coordinate; 0 for RSA
  std::string algorithm_;
  std::string jwk_;
  std::string thumbprint_;
};

struct JwsHeader {
  std::string url;
  std::string nonce;
  std::string key_id;  // the account's URL; empty: the key itself is sent
};
// An empty payload is a POST-as-GET (RFC 8555 section 6.3).
Result<std::string> sign_jws(const AccountKey& key, const JwsHeader& header, std::string_view payload);

// The JWS that proves to own an account elsewhere at the CA (RFC 8555 section 7.3.4), as JSON.
Result<std::string> external_account_binding(const ExternalAccount& account, const std::string& url, const AccountKey& key);

Result<Bytes> hmac_sha256(BytesView key, std::string_view text);

// RFC 8555 section 8.1.
std::string key_authorization(std::string_view token, const AccountKey& key);

// ECDSA signatures between ASN.1 and the two numbers side by side of RFC 7518 section 3.4. Errors: key_provider, when the
// signature is malformed or a number does not fit.
Result<Bytes> raw_signature(BytesView der, int coordinate);
Result<Bytes> der_signature(BytesView raw, int coordinate);

}  // namespace evercert
