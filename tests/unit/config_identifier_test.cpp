#include "serving/config/identifier.h"
#include "unit/config_fixture.h"

namespace evercert::test {

namespace {

std::string value_of(const std::string& text) {
  const auto identifier = parse_identifier(text);
  CPPUNIT_ASSERT_MESSAGE(identifier ? "" : identifier.error().message, identifier.has_value());
  return (identifier->kind == IdentifierKind::ip ? "ip " : "") + identifier->value;
}

void refused(const std::string& text, const std::string& part) {
  const auto identifier = parse_identifier(text);
  CPPUNIT_ASSERT_MESSAGE("must be refused: " + text, !identifier);
  CPPUNIT_ASSERT(identifier.error().kind == ErrorKind::configuration);
  assert_contains(identifier.error().message, part);
}

}  // namespace

class IdentifierTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(IdentifierTest);
  CPPUNIT_TEST(names_become_lower_case_without_a_trailing_dot);
  CPPUNIT_TEST(names_in_other_scripts_become_a_labels);
  CPPUNIT_TEST(the_sharp_s_is_kept_not_folded);
  CPPUNIT_TEST(broken_a_labels_are_refused);
  CPPUNIT_TEST(a_wildcard_is_the_whole_first_label);
  CPPUNIT_TEST(addresses_become_canonical);
  CPPUNIT_TEST(regular_expressions_are_refused);
  CPPUNIT_TEST(labels_and_names_have_their_lengths);
  CPPUNIT_TEST(labels_have_letters_digits_and_inner_hyphens);
  CPPUNIT_TEST(a_number_at_the_end_is_no_host_name);
  CPPUNIT_TEST(a_server_name_with_a_leading_dot_is_two_names);
  CPPUNIT_TEST(catch_all_server_names_are_no_names);
  CPPUNIT_TEST(certificates_are_named_as_files_can_be);
  CPPUNIT_TEST_SUITE_END();

 public:
  void names_become_lower_case_without_a_trailing_dot() {
    CPPUNIT_ASSERT_EQUAL(std::string("www.example.com"), value_of("WWW.Example.COM."));
    CPPUNIT_ASSERT_EQUAL(std::string("localhost"), value_of("localhost"));
    CPPUNIT_ASSERT_EQUAL(std::string("r3---sn.example"), value_of("r3---sn.example"));
  }

  void names_in_other_scripts_become_a_labels() {
    CPPUNIT_ASSERT_EQUAL(std::string("xn--mnchen-3ya.example"), value_of("MÜNCHEN.example"));
    CPPUNIT_ASSERT_EQUAL(std::string("xn--mnchen-3ya.example"), value_of("mu\xcc\x88nchen.example"));
    CPPUNIT_ASSERT_EQUAL(std::string("xn--mnchen-3ya.example"), value_of("XN--MNCHEN-3YA.example."));
    CPPUNIT_ASSERT_EQUAL(std::string("*.xn--mnchen-3ya.example"), value_of("*.münchen.example"));
    CPPUNIT_ASSERT_EQUAL(std::string("xn--fsqu00a.example"), value_of("例子。example"));
  }

  void the_sharp_s_is_kept_not_folded() {
    CPPUNIT_ASSERT_EQUAL(std::string("xn--strae-oqa.example"), value_of("straße.example"));
  }

  void broken_a_labels_are_refused() {
    refused("xn--\x01.example", "control");
    refused("xn--zzzzzzzzzzzzz99999.example", "xn--");
    refused("a\xff.example", "internationalized");
  }

  void a_wildcard_is_the_whole_first_label() {
    CPPUNIT_ASSERT_EQUAL(std::string("*.example.com"), value_of("*.Example.com"));
    CPPUNIT_ASSERT(parse_identifier("*.example.com")->is_wildcard());
    refused("*", "whole first label");
    refused("*.", "empty label");
    refused("w*.example.com", "whole first label");
    refused("www.*.com", "whole first label");
    refused("www.example.*", "whole first label");
    refused("*.*.example.com", "whole first label");
  }

  void addresses_become_canonical() {
    CPPUNIT_ASSERT_EQUAL(std::string("ip 192.0.2.1"), value_of("192.0.2.1"));
    CPPUNIT_ASSERT_EQUAL(std::string("ip 2001:db8::1"), value_of("2001:0DB8:0:0::1"));
    CPPUNIT_ASSERT_EQUAL(std::string("ip ::1"), value_of("[::1]"));
    refused("[::1", "character");
    refused("fe80::1%eth0", "character");
  }

  void regular_expressions_are_refused() { refused("~^www\\d+\\.example\\.com$", "regular expression"); }

  void labels_and_names_have_their_lengths() {
    const std::string label(63, 'a');
    CPPUNIT_ASSERT_EQUAL(label + ".b", value_of(label + ".b"));
    refused(label + "a.b", "63 characters");
    const std::string most = label + "." + label + "." + label + "." + std::string(61, 'b');
    CPPUNIT_ASSERT_EQUAL(std::size_t{253}, value_of(most + ".").size());
    refused(most + "b", "253 characters");
    refused("*." + most, "253 characters");
  }

  void labels_have_letters_digits_and_inner_hyphens() {
    refused("", "empty name");
    refused("a..b", "empty label");
    refused(".a.b", "empty label");
    refused("a.b..", "empty label");
    refused("-a.b", "hyphen");
    refused("a-.b", "hyphen");
    refused("a_b.c", "underscore");
    refused("a b.c", "character \" \"");
    refused("a/b.c", "character \"/\"");
    refused("a.b:443", "character \":\"");
    refused(std::string("a\0b", 3), "control");
  }

  void a_number_at_the_end_is_no_host_name() {
    refused("192.0.2.256", "no IP address");
    refused("1.2.3", "no IP address");
  }

  void a_server_name_with_a_leading_dot_is_two_names() {
    const auto names = parse_server_name(".Example.com");
    CPPUNIT_ASSERT(names);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, names->size());
    CPPUNIT_ASSERT_EQUAL(std::string("example.com"), names->at(0).value);
    CPPUNIT_ASSERT_EQUAL(std::string("*.example.com"), names->at(1).value);
    CPPUNIT_ASSERT(!parse_server_name("."));
  }

  void catch_all_server_names_are_no_names() {
    CPPUNIT_ASSERT(parse_server_name("_")->empty());
    CPPUNIT_ASSERT(parse_server_name("")->empty());
  }

  void certificates_are_named_as_files_can_be() {
    CPPUNIT_ASSERT_EQUAL(std::string("2001-db8--1"), certificate_name_of(*parse_identifier("2001:db8::1")));
    CPPUNIT_ASSERT_EQUAL(std::string("*.a.b"), *parse_certificate_name("*.A.b"));
    CPPUNIT_ASSERT_EQUAL(std::string("shop_1"), *parse_certificate_name("shop_1"));
    for (const char* const name : {"", ".", "..", "../x", "a/b", ".hidden", "-x", "*", "a*", "_wildcard_.x", "a b", "\xc3\xa4"})
      CPPUNIT_ASSERT_MESSAGE(name, !parse_certificate_name(name));
    CPPUNIT_ASSERT(parse_certificate_name(std::string(200, 'a')));
    CPPUNIT_ASSERT(!parse_certificate_name(std::string(201, 'a')));
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(IdentifierTest);

}  // namespace evercert::test
