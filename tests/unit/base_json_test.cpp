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
  CPPUNIT_TEST(what_is_nested_without_end_is_refused);
  CPPUNIT_TEST(what_holds_too_many_values_is_refused);
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
    CPPUNIT_ASSERT_EQUAL(std::string("the directory is not JSON (it begins \"<html>  \\x1b[31m\")"), parsed.error().message);
  }

  void bytes_that_are_no_text_are_written_all_the_same() {
    CPPUNIT_ASSERT(dump_json(Json{{"a", "\xff"}}).find("\"a\"") != std::string::npos);
  }

  void what_is_nested_without_end_is_refused() {
    const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
    CPPUNIT_ASSERT(parse_json(nested(deepest_json), "it"));
    const auto deep = parse_json(nested(deepest_json + 1), "the order");
    CPPUNIT_ASSERT(!deep);
    CPPUNIT_ASSERT_EQUAL(std::string("the order is nested more than 32 deep"), deep.error().message);
    std::string objects;
    for (int level = 0; level < 400000; ++level) objects += "{\"a\":";
    CPPUNIT_ASSERT(!parse_json(objects, "it") && !parse_json("{\"error\":" + nested(400000) + "}", "it"));
    // Brackets in a text nest nothing, and neither an escaped quotation mark nor an escaped backslash hides one.
    CPPUNIT_ASSERT(parse_json("[\"" + std::string(400, '[') + "\",\"\\\"[\"]", "it"));
    CPPUNIT_ASSERT(!parse_json("[\"\\\\\"," + nested(400) + "]", "it"));
  }

  void what_holds_too_many_values_is_refused() {
    std::string many = "[1";
    for (std::size_t value = 0; value < most_json_values; ++value) many += ",1";
    CPPUNIT_ASSERT(!parse_json(many + "]", "it"));
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(JsonTest);

}  // namespace
