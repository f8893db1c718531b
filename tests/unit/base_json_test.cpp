// Reading JSON that others wrote.
#include <cppunit/extensions/HelperMacros.h>

#include "serving/base/json.h"

using namespace evercert;

namespace {

class JsonTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(JsonTest);
  CPPUNIT_TEST(members_are_read_by_type);
  CPPUNIT_TEST(an_error_names_document_and_member);
  CPPUNIT_TEST(what_is_not_json_is_quoted_safely);
  CPPUNIT_TEST(bytes_that_are_no_text_are_written_all_the_same);
  CPPUNIT_TEST_SUITE_END();

  void members_are_read_by_type() {
    const Json value = parse_json(R"({"a":"x","b":["y","z"],"c":7,"d":null})", "it").value();
    CPPUNIT_ASSERT_EQUAL(std::string("x"), json_text(value, "a", "it").value());
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, json_texts(value, "b", "it").value().size());
    CPPUNIT_ASSERT_EQUAL(std::int64_t{7}, json_number(value, "c", "it").value());
    CPPUNIT_ASSERT(!json_optional_text(value, "d", "it").value().has_value());
    CPPUNIT_ASSERT(json_texts(value, "absent", "it").value().empty());
  }

  void an_error_names_document_and_member() {
    const Json value = parse_json(R"({"a":1,"b":[2]})", "it").value();
    CPPUNIT_ASSERT_EQUAL(std::string("the order: member \"a\" is not a string"),
                         json_text(value, "a", "the order").error().message);
    CPPUNIT_ASSERT_EQUAL(std::string("the order: member \"z\" is missing"), json_text(value, "z", "the order").error().message);
    CPPUNIT_ASSERT(!json_texts(value, "b", "the order"));
    CPPUNIT_ASSERT(!json_optional_text(value, "a", "the order"));
    CPPUNIT_ASSERT(!json_text(parse_json("[]", "it").value(), "a", "it"));
  }

  void what_is_not_json_is_quoted_safely() {
    const auto parsed = parse_json("<html>\r\n\x1b[31m", "the directory");
    CPPUNIT_ASSERT(!parsed);
    CPPUNIT_ASSERT_EQUAL(std::string("the directory is not JSON (it begins \"<html>...[31m\")"), parsed.error().message);
  }

  void bytes_that_are_no_text_are_written_all_the_same() {
    CPPUNIT_ASSERT(dump_json(Json{{"a", "\xff"}}).find("\"a\"") != std::string::npos);
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(JsonTest);

}  // namespace
