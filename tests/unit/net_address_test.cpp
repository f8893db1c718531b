#include <cppunit/extensions/HelperMacros.h>

#include "agent/net/address.h"

using namespace evercert;

namespace {

const std::string ca = "https://ca.example/directory";

bool goes_to(const std::string& address, const std::string& configured = ca) {
  return check_address(address, configured, "issuer x", "show the order").has_value();
}

class AddressTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(AddressTest);
  CPPUNIT_TEST(https_on_any_host_is_asked);
  CPPUNIT_TEST(nothing_else_is);
  CPPUNIT_TEST(an_issuer_on_this_host_may_be_plain_as_it_was_configured);
  CPPUNIT_TEST(the_sentence_names_who_and_where_and_no_path);
  CPPUNIT_TEST_SUITE_END();

  void https_on_any_host_is_asked() {
    CPPUNIT_ASSERT(goes_to("https://ca.example/order/1"));
    CPPUNIT_ASSERT(goes_to("https://elsewhere.example:8443/a?b=c@d"));
  }

  void nothing_else_is() {
    for (const std::string& address :
         {std::string(), std::string("http://ca.example/order/1"), std::string("HTTPS://ca.example/"), std::string("/order/1"),
          std::string("ftp://ca.example/"), std::string("https:/ca.example"), std::string("https://ca.example/a b"),
          std::string("https://ca.example/\r\nHost: x"), std::string("https://ca.example@evil.example/"),
          std::string("https://gr\xc3\xbc.example/"), "https://ca.example/" + std::string(3000, 'a')})
      CPPUNIT_ASSERT_MESSAGE(address, !goes_to(address));
  }

  void an_issuer_on_this_host_may_be_plain_as_it_was_configured() {
    CPPUNIT_ASSERT(goes_to("http://127.0.0.1:14000/order", "http://127.0.0.1:14000/dir"));
    CPPUNIT_ASSERT(!goes_to("http://127.0.0.1:14001/order", "http://127.0.0.1:14000/dir"));
    CPPUNIT_ASSERT(!goes_to("http://ca.example/order", "http://127.0.0.1:14000/dir"));
    CPPUNIT_ASSERT(!goes_to("http://ca.example/order", "https://ca.example/dir"));
  }

  void the_sentence_names_who_and_where_and_no_path() {
    const auto refused = check_address("http://me:secret@evil\x1b.example/account/7", ca, "issuer x", "show the order");
    CPPUNIT_ASSERT(!refused);
    const Error& error = refused.error();
    CPPUNIT_ASSERT(error.kind == ErrorKind::connection && error.problem && error.problem->type == address_not_encrypted);
    CPPUNIT_ASSERT_EQUAL(std::string("issuer x named an address to show the order that has blanks or control characters in it; "
                                     "nothing was sent to \"http://evil\\x1b.example\""),
                         error.message);
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(AddressTest);

}  // namespace
