#include <cppunit/extensions/HelperMacros.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include "agent/acme/jws.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"
#include "serving/key/key_provider.h"

namespace evercert {
namespace {

Bytes decoded(const std::string& text) {
  auto bytes = from_base64url(text);
  CPPUNIT_ASSERT_MESSAGE("not base64url: " + text, bool(bytes));
  return *bytes;
}

std::string text_of(const Bytes& bytes) {
  return {bytes.begin(), bytes.end()};
}

Bytes bytes_of(std::string_view text) {
  return {text.begin(), text.end()};
}

struct ParameterBuilder {
  std::unique_ptr<OSSL_PARAM_BLD, Releaser<OSSL_PARAM_BLD_free>> builder{OSSL_PARAM_BLD_new()};
  std::vector<BigNumberHandle> numbers;
  void add(const char* name, const std::string& value) {
    const Bytes bytes = decoded(value);
    numbers.emplace_back(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
    OSSL_PARAM_BLD_push_BN(builder.get(), name, numbers.back().get());
  }
  KeyHandle key(const char* type) {
    const std::unique_ptr<OSSL_PARAM, Releaser<OSSL_PARAM_free>> parameters(OSSL_PARAM_BLD_to_param(builder.get()));
    const KeyContextHandle making(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
    EVP_PKEY* made = nullptr;
    CPPUNIT_ASSERT_EQUAL(1, EVP_PKEY_fromdata_init(making.get()));
    CPPUNIT_ASSERT_EQUAL(1, EVP_PKEY_fromdata(making.get(), &made, EVP_PKEY_KEYPAIR, parameters.get()));
    return KeyHandle(made);
  }
};

// The key of RFC 7515 appendix A.2.1.
AccountKey rsa_example() {
  ParameterBuilder builder;
  builder.add(OSSL_PKEY_PARAM_RSA_N,
              "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-"
              "pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-"
              "UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_"
              "h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ");
  builder.add(OSSL_PKEY_PARAM_RSA_E, "AQAB");
  builder.add(
      OSSL_PKEY_PARAM_RSA_D,
      "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-"
      "pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4"
      "ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ");
  return std::move(AccountKey::make(builder.key("RSA")).value());
}

AccountKey made(KeyAlgorithm algorithm, unsigned bits) {
  auto key = make_file_keys()->generate({algorithm, bits});
  CPPUNIT_ASSERT(key);
  return std::move(AccountKey::make(std::move(key->handle)).value());
}

class JwsTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(JwsTest);
  CPPUNIT_TEST(hs256_gives_the_code_of_rfc_7515_appendix_a_1);
  CPPUNIT_TEST(rs256_gives_the_signature_of_rfc_7515_appendix_a_2);
  CPPUNIT_TEST(the_es256_signature_of_rfc_7515_appendix_a_3_verifies_as_der);
  CPPUNIT_TEST(the_key_of_rfc_7638_section_3_1_has_its_thumbprint);
  CPPUNIT_TEST(the_key_authorization_is_token_dot_thumbprint);
  CPPUNIT_TEST(each_kind_of_key_signs_with_its_own_algorithm_and_length);
  CPPUNIT_TEST(a_short_rsa_key_is_refused);
  CPPUNIT_TEST(a_key_of_another_kind_is_refused);
  CPPUNIT_TEST(the_protected_header_names_the_account_or_carries_the_key);
  CPPUNIT_TEST(an_external_account_binding_signs_our_public_key);
  CPPUNIT_TEST(numbers_with_leading_zeros_keep_their_width);
  CPPUNIT_TEST(numbers_with_the_high_bit_lose_the_sign_byte);
  CPPUNIT_TEST(short_numbers_are_padded_on_the_left);
  CPPUNIT_TEST(a_number_that_is_too_long_is_refused);
  CPPUNIT_TEST(a_negative_or_zero_number_is_refused);
  CPPUNIT_TEST(bytes_after_the_signature_are_refused);
  CPPUNIT_TEST(truncated_asn_1_is_refused);
  CPPUNIT_TEST(a_raw_signature_of_another_length_is_refused);
  CPPUNIT_TEST_SUITE_END();

 public:
  void hs256_gives_the_code_of_rfc_7515_appendix_a_1() {
    const Bytes key = decoded("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
    auto code = hmac_sha256(key,
                            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
                            "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ");
    CPPUNIT_ASSERT(code);
    CPPUNIT_ASSERT_EQUAL(std::string("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"), to_base64url(*code));
  }

  void rs256_gives_the_signature_of_rfc_7515_appendix_a_2() {
    auto signature = rsa_example().sign(
        "eyJhbGciOiJSUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ");
    CPPUNIT_ASSERT(signature);
    CPPUNIT_ASSERT_EQUAL(
        std::string("cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5"
                    "jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1"
                    "L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYE"
                    "UipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"),
        to_base64url(*signature));
  }

  void the_es256_signature_of_rfc_7515_appendix_a_3_verifies_as_der() {
    ParameterBuilder builder;
    Bytes point{4};
    for (const char* coordinate :
         {"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}) {
      const Bytes bytes = decoded(coordinate);
      point.insert(point.end(), bytes.begin(), bytes.end());
    }
    OSSL_PARAM_BLD_push_utf8_string(builder.builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
    OSSL_PARAM_BLD_push_octet_string(builder.builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size());
    builder.add(OSSL_PKEY_PARAM_PRIV_KEY, "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI");
    const KeyHandle key = builder.key("EC");
    const std::string input =
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    auto der =
        der_signature(decoded("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"), 32);
    CPPUNIT_ASSERT(der);
    const DigestContextHandle verifying(EVP_MD_CTX_new());
    CPPUNIT_ASSERT_EQUAL(1, EVP_DigestVerifyInit(verifying.get(), nullptr, EVP_sha256(), nullptr, key.get()));
    CPPUNIT_ASSERT_EQUAL(1, EVP_DigestVerify(verifying.get(), der->data(), der->size(),
                                             reinterpret_cast<const unsigned char*>(input.data()), input.size()));
  }

  void the_key_of_rfc_7638_section_3_1_has_its_thumbprint() {
    ParameterBuilder builder;
    builder.add(
        OSSL_PKEY_PARAM_RSA_N,
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs"
        "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn"
        "1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw");
    builder.add(OSSL_PKEY_PARAM_RSA_E, "AQAB");
    auto key = AccountKey::make(builder.key("RSA"));
    CPPUNIT_ASSERT(key);
    CPPUNIT_ASSERT_EQUAL(std::string("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"), key->thumbprint());
  }

  void the_key_authorization_is_token_dot_thumbprint() {
    // The token of RFC 8555 section 8.3.
    const AccountKey key = rsa_example();
    CPPUNIT_ASSERT_EQUAL("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0." + key.thumbprint(),
                         key_authorization("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0", key));
    CPPUNIT_ASSERT_EQUAL(std::size_t{43}, key.thumbprint().size());
  }

  void each_kind_of_key_signs_with_its_own_algorithm_and_length() {
    const struct {
      KeyAlgorithm algorithm;
      unsigned bits;
      const char* name;
      std::size_t length;
    } kinds[] = {{KeyAlgorithm::ecdsa, 256, "ES256", 64},
                 {KeyAlgorithm::ecdsa, 384, "ES384", 96},
                 {KeyAlgorithm::ecdsa, 521, "ES512", 132},
                 {KeyAlgorithm::rsa, 2048, "RS256", 256}};
    for (const auto& kind : kinds) {
      const AccountKey key = made(kind.algorithm, kind.bits);
      auto signature = key.sign("text");
      CPPUNIT_ASSERT(signature);
      CPPUNIT_ASSERT_EQUAL(std::string(kind.name), key.algorithm());
      CPPUNIT_ASSERT_EQUAL(kind.length, signature->size());
      CPPUNIT_ASSERT(parse_json(key.jwk(), "the key"));
    }
  }

  void a_short_rsa_key_is_refused() {
    auto key = AccountKey::make(KeyHandle(EVP_RSA_gen(1024)));
    CPPUNIT_ASSERT(!key && key.error().kind == ErrorKind::configuration);
  }

  void a_key_of_another_kind_is_refused() {
    CPPUNIT_ASSERT(!AccountKey::make(KeyHandle(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"))));
    CPPUNIT_ASSERT(!AccountKey::make(KeyHandle(EVP_EC_gen("secp256k1"))));
    CPPUNIT_ASSERT(!AccountKey::make(nullptr));
  }

  void the_protected_header_names_the_account_or_carries_the_key() {
    const AccountKey key = made(KeyAlgorithm::ecdsa, 256);
    auto with_kid = sign_jws(key, {"https://ca.example/new-order", "nonce-1", "https://ca.example/account/1"}, "{}");
    auto with_jwk = sign_jws(key, {"https://ca.example/new-account", "nonce-2", ""}, "");
    CPPUNIT_ASSERT(with_kid && with_jwk);
    const Json first = *parse_json(text_of(decoded((*parse_json(*with_kid, "jws"))["protected"].get<std::string>())), "header");
    CPPUNIT_ASSERT_EQUAL(std::string("https://ca.example/account/1"), first["kid"].get<std::string>());
    CPPUNIT_ASSERT_EQUAL(std::string("nonce-1"), first["nonce"].get<std::string>());
    CPPUNIT_ASSERT(!first.contains("jwk"));
    const Json whole = *parse_json(*with_jwk, "jws");
    const Json second = *parse_json(text_of(decoded(whole["protected"].get<std::string>())), "header");
    CPPUNIT_ASSERT_EQUAL(std::string("P-256"), second["jwk"]["crv"].get<std::string>());
    CPPUNIT_ASSERT(!second.contains("kid"));
    CPPUNIT_ASSERT_EQUAL(std::string(), whole["payload"].get<std::string>());
  }

  void an_external_account_binding_signs_our_public_key() {
    const AccountKey key = made(KeyAlgorithm::ecdsa, 256);
    const ExternalAccount account{"kid-1", Secret(Bytes(32, 7))};
    auto binding = external_account_binding(account, "https://ca.example/new-account", key);
    CPPUNIT_ASSERT(binding);
    const Json jws = *parse_json(*binding, "binding");
    CPPUNIT_ASSERT_EQUAL(key.jwk(), text_of(decoded(jws["payload"].get<std::string>())));
    const Json header = *parse_json(text_of(decoded(jws["protected"].get<std::string>())), "header");
    CPPUNIT_ASSERT_EQUAL(std::string("HS256"), header["alg"].get<std::string>());
    CPPUNIT_ASSERT(!header.contains("nonce"));  // RFC 8555 section 7.3.4
    auto code =
        hmac_sha256(account.hmac_key.view(), jws["protected"].get<std::string>() + "." + jws["payload"].get<std::string>());
    CPPUNIT_ASSERT_EQUAL(to_base64url(*code), jws["signature"].get<std::string>());
  }

  void numbers_with_leading_zeros_keep_their_width() {
    Bytes raw(64, 0x11);
    raw[0] = raw[1] = raw[32] = 0;
    CPPUNIT_ASSERT(there_and_back(raw));
  }

  void numbers_with_the_high_bit_lose_the_sign_byte() {
    CPPUNIT_ASSERT(there_and_back(Bytes(64, 0xff)));
    auto der = der_signature(Bytes(64, 0xff), 32);
    CPPUNIT_ASSERT_EQUAL(std::size_t{72}, der->size());
  }

  void short_numbers_are_padded_on_the_left() {
    auto raw = raw_signature(Bytes{0x30, 0x06, 0x02, 0x01, 0x05, 0x02, 0x01, 0x07}, 32);
    CPPUNIT_ASSERT(raw);
    Bytes expected(64, 0);
    expected[31] = 5;
    expected[63] = 7;
    CPPUNIT_ASSERT(expected == *raw);
  }

  void a_number_that_is_too_long_is_refused() {
    Bytes der{0x30, 0x26, 0x02, 0x21};
    der.insert(der.end(), 33, 0x22);
    der.insert(der.end(), {0x02, 0x01, 0x07});
    auto raw = raw_signature(der, 32);
    CPPUNIT_ASSERT(!raw && raw.error().kind == ErrorKind::key_provider);
  }

  void a_negative_or_zero_number_is_refused() {
    CPPUNIT_ASSERT(!raw_signature(Bytes{0x30, 0x06, 0x02, 0x01, 0x85, 0x02, 0x01, 0x07}, 32));
    CPPUNIT_ASSERT(!raw_signature(Bytes{0x30, 0x06, 0x02, 0x01, 0x05, 0x02, 0x01, 0x00}, 32));
  }

  void bytes_after_the_signature_are_refused() {
    CPPUNIT_ASSERT(!raw_signature(Bytes{0x30, 0x06, 0x02, 0x01, 0x05, 0x02, 0x01, 0x07, 0x00}, 32));
  }

  void truncated_asn_1_is_refused() {
    CPPUNIT_ASSERT(!raw_signature(Bytes{0x30, 0x06, 0x02, 0x01, 0x05}, 32));
    CPPUNIT_ASSERT(!raw_signature(Bytes{}, 32));
  }

  void a_raw_signature_of_another_length_is_refused() {
    CPPUNIT_ASSERT(!der_signature(Bytes(63, 1), 32));
    CPPUNIT_ASSERT(!der_signature(Bytes(65, 1), 32));
  }

 private:
  static bool there_and_back(const Bytes& raw) {
    auto der = der_signature(raw, 32);
    if (!der) return false;
    auto back = raw_signature(*der, 32);
    return back && *back == raw;
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(JwsTest);

class Base64UrlTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(Base64UrlTest);
  CPPUNIT_TEST(the_vectors_of_rfc_4648_section_10_without_padding);
  CPPUNIT_TEST_SUITE_END();

 public:
  void the_vectors_of_rfc_4648_section_10_without_padding() {
    const std::pair<const char*, const char*> vectors[] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},         {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}};
    for (const auto& [plain, coded] : vectors) {
      CPPUNIT_ASSERT_EQUAL(std::string(coded), to_base64url(bytes_of(plain)));
      CPPUNIT_ASSERT_EQUAL(std::string(plain), text_of(decoded(coded)));
    }
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(Base64UrlTest);

}  // namespace
}  // namespace evercert
