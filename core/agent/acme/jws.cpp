#include "agent/acme/jws.h"

#include <openssl/core_names.h>
#include <openssl/hmac.h>

#include "serving/base/encoding.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

std::string encoded(std::string_view text) {
  return to_base64url(bytes_of(text));
}

std::string quoted(const std::string& text) {
  return dump_json(Json(text));
}

// `width`: zero for as many bytes as the number needs.
Result<std::string> public_number(EVP_PKEY* key, const char* parameter, int width) {
  BIGNUM* number = nullptr;
  if (EVP_PKEY_get_bn_param(key, parameter, &number) != 1) {
    return openssl_error(ErrorKind::key_provider, "cannot read the public part of the account key");
  }
  const BigNumberHandle owned(number);
  Bytes bytes(static_cast<std::size_t>(width != 0 ? width : BN_num_bytes(number)));
  if (BN_bn2binpad(number, bytes.data(), static_cast<int>(bytes.size())) < 0) {
    return openssl_error(ErrorKind::key_provider, "the public part of the account key is too long for its curve");
  }
  return to_base64url(bytes);
}

std::string flattened(const std::string& header, const std::string& payload, BytesView signature) {
  return "{\"protected\":\"" + header + "\",\"payload\":\"" + payload + "\",\"signature\":\"" + to_base64url(signature) + "\"}";
}

}  // namespace

Result<AccountKey> AccountKey::make(KeyHandle key) {
  AccountKey made;
  made.key_ = std::move(key);
  Result<Done> described =
      Error{ErrorKind::configuration,
            "an account key must be an ECDSA key (P-256, P-384, P-521) or an RSA key of at least 2048 bits"};
  if (made.key_ && EVP_PKEY_is_a(made.key_.get(), "EC") == 1) {
    described = made.describe_ec();
  } else if (made.key_ && EVP_PKEY_is_a(made.key_.get(), "RSA") == 1) {
    described = made.describe_rsa();
  }
  if (!described) return described.error();
  made.thumbprint_ = to_base64url(sha256(bytes_of(made.jwk_)));
  return made;
}

Result<Done> AccountKey::describe_ec() {
  const char* curve = nullptr;
  std::string group(64, '\0');
  std::size_t length = 0;
  if (EVP_PKEY_get_utf8_string_param(key_.get(), OSSL_PKEY_PARAM_GROUP_NAME, group.data(), group.size(), &length) == 1) {
    group.resize(length);
  }
  if (group == SN_X9_62_prime256v1) {
    curve = "P-256", algorithm_ = "ES256", coordinate_ = 32, digest_ = EVP_sha256();
  } else if (group == SN_secp384r1) {
    curve = "P-384", algorithm_ = "ES384", coordinate_ = 48, digest_ = EVP_sha384();
  } else if (group == SN_secp521r1) {
    curve = "P-521", algorithm_ = "ES512", coordinate_ = 66, digest_ = EVP_sha512();
  } else {
    return Error{ErrorKind::configuration, "the account key's curve is not one of P-256, P-384, P-521"};
  }
  auto x = public_number(key_.get(), OSSL_PKEY_PARAM_EC_PUB_X, coordinate_);
  if (!x) return x.error();
  auto y = public_number(key_.get(), OSSL_PKEY_PARAM_EC_PUB_Y, coordinate_);
  if (!y) return y.error();
  jwk_ = std::string(R"({"crv":")") + curve + R"(","kty":"EC","x":")" + *x + R"(","y":")" + *y + "\"}";
  return Done{};
}

Result<Done> AccountKey::describe_rsa() {
  if (EVP_PKEY_get_bits(key_.get()) < 2048) {
    return Error{ErrorKind::configuration, "the account key has fewer than 2048 bits, which no ACME server takes"};
  }
  algorithm_ = "RS256", digest_ = EVP_sha256();
  auto exponent = public_number(key_.get(), OSSL_PKEY_PARAM_RSA_E, 0);
  if (!exponent) return exponent.error();
  auto modulus = public_number(key_.get(), OSSL_PKEY_PARAM_RSA_N, 0);
  if (!modulus) return modulus.error();
  jwk_ = R"({"e":")" + *exponent + R"(","kty":"RSA","n":")" + *modulus + "\"}";
  return Done{};
}

Result<Bytes> AccountKey::sign(std::string_view text) const {
  const DigestContextHandle signing(EVP_MD_CTX_new());
  auto length = static_cast<std::size_t>(EVP_PKEY_get_size(key_.get()));
  Bytes signature(length);
  if (!signing || EVP_DigestSignInit(signing.get(), nullptr, digest_, nullptr, key_.get()) != 1 ||
      EVP_DigestSign(signing.get(), signature.data(), &length, bytes_of(text).data(), text.size()) != 1) {
    return openssl_error(ErrorKind::key_provider, "the account key could not sign a request");
  }
  signature.resize(length);
  if (coordinate_ == 0) return signature;
  return raw_signature(signature, coordinate_);
}

Result<std::string> sign_jws(const AccountKey& key, const JwsHeader& header, std::string_view payload) {
  const std::string who = header.key_id.empty() ? "\"jwk\":" + key.jwk() : "\"kid\":" + quoted(header.key_id);
  const std::string protected_header = encoded("{\"alg\":\"" + key.algorithm() + "\"," + who +
                                               ",\"nonce\":" + quoted(header.nonce) + ",\"url\":" + quoted(header.url) + "}");
  const std::string encoded_payload = encoded(payload);
  auto signature = key.sign(protected_header + "." + encoded_payload);
  if (!signature) return signature.error();
  return flattened(protected_header, encoded_payload, *signature);
}

Result<std::string> external_account_binding(const ExternalAccount& account, const std::string& url, const AccountKey& key) {
  const std::string header = encoded(R"({"alg":"HS256","kid":)" + quoted(account.kid) + ",\"url\":" + quoted(url) + "}");
  const std::string payload = encoded(key.jwk());
  auto signature = hmac_sha256(account.hmac_key.view(), header + "." + payload);
  if (!signature) return signature.error();
  return flattened(header, payload, *signature);
}

Result<Bytes> hmac_sha256(BytesView key, std::string_view text) {
  Bytes code(EVP_MAX_MD_SIZE);
  unsigned length = 0;
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes_of(text).data(), text.size(), code.data(), &length) ==
      nullptr) {
    return openssl_error(ErrorKind::key_provider, "the external account key could not sign");
  }
  code.resize(length);
  return code;
}

std::string key_authorization(std::string_view token, const AccountKey& key) {
  return std::string(token) + "." + key.thumbprint();
}

Result<Bytes> raw_signature(BytesView der, int coordinate) {
  const std::uint8_t* position = der.data();
  const SignatureHandle signature(d2i_ECDSA_SIG(nullptr, &position, static_cast<long>(der.size())));
  if (!signature || position != der.data() + der.size()) {
    return openssl_error(ErrorKind::key_provider, "an ECDSA signature is not well-formed ASN.1");
  }
  const BIGNUM* r = ECDSA_SIG_get0_r(signature.get());
  const BIGNUM* s = ECDSA_SIG_get0_s(signature.get());
  Bytes raw(2 * static_cast<std::size_t>(coordinate));
  if (BN_is_negative(r) == 1 || BN_is_negative(s) == 1 || BN_is_zero(r) == 1 || BN_is_zero(s) == 1 ||
      BN_bn2binpad(r, raw.data(), coordinate) < 0 || BN_bn2binpad(s, raw.data() + coordinate, coordinate) < 0) {
    const CleanErrorQueue clean;
    return Error{ErrorKind::key_provider, "an ECDSA signature holds a number that does not fit its curve"};
  }
  return raw;
}

Result<Bytes> der_signature(BytesView raw, int coordinate) {
  if (raw.size() != 2 * static_cast<std::size_t>(coordinate)) {
    return Error{ErrorKind::key_provider, "an ECDSA signature has " + std::to_string(raw.size()) + " bytes instead of " +
                                              std::to_string(2 * coordinate)};
  }
  BigNumberHandle r(BN_bin2bn(raw.data(), coordinate, nullptr));
  BigNumberHandle s(BN_bin2bn(raw.data() + coordinate, coordinate, nullptr));
  const SignatureHandle signature(ECDSA_SIG_new());
  if (!r || !s || !signature || ECDSA_SIG_set0(signature.get(), r.get(), s.get()) != 1) {
    return openssl_error(ErrorKind::key_provider, "an ECDSA signature could not be put together");
  }
  static_cast<void>(r.release());
  static_cast<void>(s.release());
  Bytes der(static_cast<std::size_t>(i2d_ECDSA_SIG(signature.get(), nullptr)));
  std::uint8_t* position = der.data();
  i2d_ECDSA_SIG(signature.get(), &position);
  return der;
}

}  // namespace evercert
