#include <cppunit/extensions/HelperMacros.h>
#include <openssl/pem.h>

#include <algorithm>

#include "agent/issuer/chain.h"
#include "serving/base/encoding.h"
#include "store_fixture.h"

namespace evercert::test {

// What CAs really send: any order, the root as well, certificates of others, and sometimes nonsense.
class AcmeChainTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(AcmeChainTest);
  CPPUNIT_TEST(any_order_becomes_leaf_first);
  CPPUNIT_TEST(a_root_is_left_out_and_named);
  CPPUNIT_TEST(certificates_of_others_are_left_out);
  CPPUNIT_TEST(a_leaf_alone_is_a_chain);
  CPPUNIT_TEST(a_leaf_for_another_key_is_refused);
  CPPUNIT_TEST(intermediates_that_did_not_sign_the_leaf_are_refused);
  CPPUNIT_TEST(text_cut_anywhere_is_asked_for_again_or_refused);
  CPPUNIT_TEST(text_without_certificates_is_asked_for_again);
  CPPUNIT_TEST(too_many_certificates_are_refused);
  CPPUNIT_TEST(a_pkcs7_wrapper_is_opened_whatever_its_order);
  CPPUNIT_TEST(a_damaged_pkcs7_wrapper_is_asked_for_again);
  CPPUNIT_TEST(a_root_in_the_place_of_the_intermediate_is_refused);
  CPPUNIT_TEST(an_encrypted_block_asks_nobody_for_a_pass_phrase);
  CPPUNIT_TEST_SUITE_END();

  const LittleCa ca_;
  const PrivateKey key_ = *make_file_keys()->generate({});
  const Bytes request_ = *make_request(key_, {{IdentifierKind::dns, "www.example.com"}}, false);
  const std::string digest_ = *request_key_digest(request_);
  const BundlePair other_ = ca_.issue({}, {.identifiers = {{IdentifierKind::dns, "other.example.com"}}});
  const BundlePair ours_ = ca_.issue_for(key_, {.identifiers = {{IdentifierKind::dns, "www.example.com"}}});

  static std::string pem(const std::vector<Bytes>& certificates) {
    std::string text;
    for (const Bytes& der : certificates) {
      const std::string base64 = to_base64(der);
      text += "-----BEGIN CERTIFICATE-----\n";
      for (std::size_t at = 0; at < base64.size(); at += 64) text += base64.substr(at, 64) + "\n";
      text += "-----END CERTIFICATE-----\n";
    }
    return text;
  }
  [[nodiscard]] Bytes intermediate() const { return ours_.chain.front(); }

  void an_encrypted_block_asks_nobody_for_a_pass_phrase() {
    std::string text = pem({ours_.leaf});
    text.insert(text.find('\n') + 1, "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\n");
    const auto chain = read_chain(text, digest_);
    CPPUNIT_ASSERT(!chain && chain.error().kind == ErrorKind::connection);
    CPPUNIT_ASSERT_MESSAGE(chain.error().message, chain.error().message.find("is encrypted") != std::string::npos);
    CPPUNIT_ASSERT(!read_issued_chain(text));
  }

  void any_order_becomes_leaf_first() {
    std::vector<Bytes> sent{ours_.leaf, intermediate(), ca_.root()};
    std::sort(sent.begin(), sent.end());
    do {
      const auto chain = read_chain(pem(sent), digest_);
      CPPUNIT_ASSERT_MESSAGE(chain ? "" : chain.error().message, chain.has_value());
      CPPUNIT_ASSERT(chain->certificates.leaf == ours_.leaf);
      CPPUNIT_ASSERT(chain->certificates.chain == std::vector<Bytes>{intermediate()});
    } while (std::next_permutation(sent.begin(), sent.end()));
  }

  void a_root_is_left_out_and_named() {
    const auto chain = read_chain(pem({ours_.leaf, intermediate(), ca_.root()}), digest_);
    CPPUNIT_ASSERT(chain->issuer_names == (std::vector<std::string>{"Intermediate", "Root", "Root"}));
  }

  void certificates_of_others_are_left_out() {
    const LittleCa stranger;
    const auto chain = read_chain(pem({other_.leaf, stranger.root(), intermediate(), ours_.leaf, intermediate()}), digest_);
    CPPUNIT_ASSERT(chain->certificates.leaf == ours_.leaf);
    CPPUNIT_ASSERT(chain->certificates.chain == std::vector<Bytes>{intermediate()});
  }

  void a_leaf_alone_is_a_chain() {
    const auto chain = read_chain(pem({ours_.leaf}), digest_);
    CPPUNIT_ASSERT(chain && chain->certificates.chain.empty());
  }

  void a_leaf_for_another_key_is_refused() {
    const auto chain = read_chain(pem({other_.leaf, intermediate()}), digest_);
    CPPUNIT_ASSERT(!chain && chain.error().kind == ErrorKind::issuer_refused);
    CPPUNIT_ASSERT(chain.error().message.find("the key of our request") != std::string::npos);
  }

  void intermediates_that_did_not_sign_the_leaf_are_refused() {
    const LittleCa impostor;  // the same names, other keys
    const auto chain = read_chain(pem({ours_.leaf, impostor.issue({}, {}).chain.front()}), digest_);
    CPPUNIT_ASSERT(!chain && chain.error().kind == ErrorKind::issuer_refused);
  }

  void text_cut_anywhere_is_asked_for_again_or_refused() {
    const std::string whole = pem({intermediate(), ours_.leaf});
    for (std::size_t length = 0; length + 1 < whole.size(); length += 7) {
      const auto chain = read_chain(std::string_view(whole).substr(0, length), digest_);
      CPPUNIT_ASSERT_MESSAGE(std::to_string(length), !chain);
    }
  }

  void text_without_certificates_is_asked_for_again() {
    for (const std::string& text : {std::string(), std::string("<html>maintenance</html>"), pem({bytes_of("no DER")})}) {
      const auto chain = read_chain(text, digest_);
      CPPUNIT_ASSERT_MESSAGE(text, !chain && chain.error().kind == ErrorKind::connection);
    }
  }

  void too_many_certificates_are_refused() {
    const auto chain = read_chain(pem(std::vector<Bytes>(33, intermediate())), digest_);
    CPPUNIT_ASSERT(!chain && chain.error().kind == ErrorKind::issuer_refused);
  }

  // As Sectigo and others hand certificates out: certificates and nothing signed.
  static std::string wrapped(const std::vector<Bytes>& certificates) {
    const CertificateBagHandle bag(PKCS7_new());
    PKCS7_set_type(bag.get(), NID_pkcs7_signed);
    PKCS7_content_new(bag.get(), NID_pkcs7_data);
    for (const Bytes& der : certificates) {
      const std::uint8_t* bytes = der.data();
      const CertificateHandle certificate(d2i_X509(nullptr, &bytes, static_cast<long>(der.size())));
      PKCS7_add_certificate(bag.get(), certificate.get());
    }
    const BioHandle output(BIO_new(BIO_s_mem()));
    PEM_write_bio_PKCS7(output.get(), bag.get());
    char* text = nullptr;
    const long size = BIO_get_mem_data(output.get(), &text);
    return {text, static_cast<std::size_t>(size)};
  }

  void a_pkcs7_wrapper_is_opened_whatever_its_order() {
    std::vector<Bytes> sent{ours_.leaf, intermediate(), ca_.root()};
    std::sort(sent.begin(), sent.end());
    do {
      const auto chain = read_chain(wrapped(sent), digest_);
      CPPUNIT_ASSERT_MESSAGE(chain ? "" : chain.error().message, chain.has_value());
      CPPUNIT_ASSERT(chain->certificates.leaf == ours_.leaf);
      CPPUNIT_ASSERT(chain->certificates.chain == std::vector<Bytes>{intermediate()});
    } while (std::next_permutation(sent.begin(), sent.end()));
    // The leaf by itself, and what is above it wrapped.
    const auto mixed = read_chain(pem({ours_.leaf}) + wrapped({ca_.root(), intermediate()}), digest_);
    CPPUNIT_ASSERT(mixed && mixed->certificates.chain == std::vector<Bytes>{intermediate()});
  }

  void a_damaged_pkcs7_wrapper_is_asked_for_again() {
    const std::string whole = wrapped({ours_.leaf, intermediate()});
    for (std::size_t length = 0; length + 30 < whole.size(); length += 97) {
      const auto chain = read_chain(std::string_view(whole).substr(0, length), digest_);
      CPPUNIT_ASSERT_MESSAGE(std::to_string(length), !chain && chain.error().kind == ErrorKind::connection);
    }
    const auto empty = read_chain(wrapped({}), digest_);
    CPPUNIT_ASSERT(!empty && empty.error().kind == ErrorKind::connection);
  }

  void a_root_in_the_place_of_the_intermediate_is_refused() {
    const auto chain = read_chain(pem({ours_.leaf, ca_.root()}), digest_);
    CPPUNIT_ASSERT(!chain && chain.error().kind == ErrorKind::issuer_refused);
    CPPUNIT_ASSERT(chain.error().message.find("has signed it") != std::string::npos);
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(AcmeChainTest);

}  // namespace evercert::test
