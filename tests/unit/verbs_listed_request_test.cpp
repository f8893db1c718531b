#include <cppunit/extensions/HelperMacros.h>

#include "agent/commercial/rest.h"
#include "agent/verbs/listed_request.h"
#include "serving/base/encoding.h"
#include "serving/key/key_provider.h"

namespace evercert {
namespace {

class ShownRequestTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(ShownRequestTest);
  CPPUNIT_TEST(a_request_is_read_with_and_without_lines_of_pem);
  CPPUNIT_TEST(what_is_no_request_is_refused);
  CPPUNIT_TEST_SUITE_END();

 public:
  void a_request_is_read_with_and_without_lines_of_pem() {
    const auto key = make_file_keys()->generate({});
    const Bytes der = make_request(*key, {{IdentifierKind::dns, "a.test"}, {IdentifierKind::dns, "b.test"}}, false).value();
    const std::string pem = pem_of_request(der);
    std::string crlf;
    for (const char c : pem) crlf += c == '\n' ? std::string("\r\n") : std::string(1, c);
    const std::string lines = pem.substr(pem.find('\n') + 1, pem.rfind("-----END") - pem.find('\n') - 1);
    for (const std::string& text : {pem, crlf, to_base64(der), lines, " " + to_base64(der) + "\r\n"}) {
      const auto shown = read_shown_request(text);
      CPPUNIT_ASSERT_MESSAGE(text, shown && shown->der == der);
      CPPUNIT_ASSERT((shown->names == std::set<std::string>{"a.test", "b.test"}));
    }
  }

  void what_is_no_request_is_refused() {
    for (const char* text : {"", " ", "no", "MIIB", "-----BEGIN CERTIFICATE REQUEST-----"}) {
      const auto shown = read_shown_request(text);
      CPPUNIT_ASSERT_MESSAGE(text, !shown && shown.error().kind == ErrorKind::issuer_refused);
    }
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(ShownRequestTest);

}  // namespace
}  // namespace evercert
