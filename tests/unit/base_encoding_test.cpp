// RFC 4648 section 10 and what its section 3.5 lets a decoder refuse.
#include <cppunit/extensions/HelperMacros.h>

#include "serving/base/encoding.h"

using namespace evercert;

namespace {

class EncodingTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(EncodingTest);
  CPPUNIT_TEST(the_examples_of_the_rfc_encode);
  CPPUNIT_TEST(what_was_encoded_decodes);
  CPPUNIT_TEST(the_url_alphabet_has_no_plus_slash_or_padding);
  CPPUNIT_TEST(a_decoder_refuses_padding_strange_letters_and_stray_bits);
  CPPUNIT_TEST(the_digest_of_abc_is_the_known_one);
  CPPUNIT_TEST_SUITE_END();

  void the_examples_of_the_rfc_encode() {
    const std::vector<std::pair<std::string, std::string>> examples{{"", ""},
                                                                    {"f", "Zg=="},
                                                                    {"fo", "Zm8="},
                                                                    {"foo", "Zm9v"},
                                                                    {"foob", "Zm9vYg=="},
                                                                    {"fooba", "Zm9vYmE="},
                                                                    {"foobar", "Zm9vYmFy"}};
    for (const auto& [plain, encoded] : examples) CPPUNIT_ASSERT_EQUAL(encoded, to_base64(bytes_of(plain)));
  }

  void what_was_encoded_decodes() {
    for (std::size_t length = 0; length < 70; ++length) {
      const Bytes bytes = random_bytes(length);
      CPPUNIT_ASSERT(from_base64(to_base64(bytes)).value() == bytes);
      CPPUNIT_ASSERT(from_base64url(to_base64url(bytes)).value() == bytes);
    }
  }

  void the_url_alphabet_has_no_plus_slash_or_padding() {
    const Bytes bytes{0xfb, 0xff, 0xfe, 0x01};
    CPPUNIT_ASSERT_EQUAL(std::string("+//+AQ=="), to_base64(bytes));
    CPPUNIT_ASSERT_EQUAL(std::string("-__-AQ"), to_base64url(bytes));
  }

  void a_decoder_refuses_padding_strange_letters_and_stray_bits() {
    for (const char* text : {"Zg==", "Zg=", "Z", "Zm+v", "Zm/v", "Z m8", "Zh", "Zm9"}) CPPUNIT_ASSERT(!from_base64url(text));
    for (const char* text : {"Zg", "Zm9", "Zh==", "Z===", "====", "Zm-v", "Zm9vYg=", "Zg==Zg=="})
      CPPUNIT_ASSERT(!from_base64(text));
  }

  void the_digest_of_abc_is_the_known_one() {
    CPPUNIT_ASSERT_EQUAL(std::string("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
                         to_hex(sha256(bytes_of("abc"))));
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(EncodingTest);

}  // namespace
