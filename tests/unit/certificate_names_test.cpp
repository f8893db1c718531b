#include <cppunit/extensions/HelperMacros.h>

#include "evercert/board.h"
#include "evercert/catalog.h"

namespace evercert {

class CatalogNamesTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(CatalogNamesTest);
  CPPUNIT_TEST(an_empty_index_finds_nothing);
  CPPUNIT_TEST(an_exact_name_goes_before_a_wildcard);
  CPPUNIT_TEST(a_wildcard_stands_for_exactly_one_label);
  CPPUNIT_TEST(case_and_a_trailing_dot_do_not_matter);
  CPPUNIT_TEST(the_first_one_added_is_the_default);
  CPPUNIT_TEST(addresses_are_found_by_their_text);
  CPPUNIT_TEST(the_first_of_two_equal_names_holds);
  CPPUNIT_TEST(session_contexts_differ_by_name);
  CPPUNIT_TEST_SUITE_END();

 public:
  void an_empty_index_finds_nothing() {
    const NameIndex names;
    CPPUNIT_ASSERT(names.empty());
    CPPUNIT_ASSERT(!names.find("www.example.com"));
    CPPUNIT_ASSERT(!names.find(""));
  }

  void an_exact_name_goes_before_a_wildcard() {
    const NameIndex names = sample();
    CPPUNIT_ASSERT_EQUAL(CertificateSlot{3}, *names.find("www.example.com"));
    CPPUNIT_ASSERT_EQUAL(CertificateSlot{2}, *names.find("other.example.com"));
  }

  void a_wildcard_stands_for_exactly_one_label() {
    const NameIndex names = sample();
    CPPUNIT_ASSERT_EQUAL(CertificateSlot{1}, *names.find("example.com"));
    CPPUNIT_ASSERT_EQUAL(CertificateSlot{1}, *names.find("a.b.example.com"));
    CPPUNIT_ASSERT_EQUAL(CertificateSlot{1}, *names.find(".example.com"));
    CPPUNIT_ASSERT_EQUAL(CertificateSlot{2}, *names.find("b.example.com"));
  }

  void case_and_a_trailing_dot_do_not_matter() {
    const NameIndex names = sample();
    CPPUNIT_ASSERT_EQUAL(CertificateSlot{3}, *names.find("WWW.Example.COM"));
    CPPUNIT_ASSERT_EQUAL(CertificateSlot{3}, *names.find("www.example.com."));
    CPPUNIT_ASSERT_EQUAL(CertificateSlot{2}, *names.find("Other.Example.com."));
  }

  void the_first_one_added_is_the_default() {
    const NameIndex names = sample();
    CPPUNIT_ASSERT(!names.empty());
    CPPUNIT_ASSERT_EQUAL(CertificateSlot{1}, *names.find(""));
    CPPUNIT_ASSERT_EQUAL(CertificateSlot{1}, *names.find("unknown.example.net"));
    CPPUNIT_ASSERT_EQUAL(CertificateSlot{1}, *names.find("."));
  }

  void addresses_are_found_by_their_text() {
    NameIndex names = sample();
    names.add({IdentifierKind::ip, "192.0.2.7"}, 9);
    CPPUNIT_ASSERT_EQUAL(CertificateSlot{9}, *names.find("192.0.2.7"));
  }

  void the_first_of_two_equal_names_holds() {
    NameIndex names = sample();
    names.add({IdentifierKind::dns, "www.example.com"}, 8);
    CPPUNIT_ASSERT_EQUAL(CertificateSlot{3}, *names.find("www.example.com"));
  }

  void session_contexts_differ_by_name() {
    CPPUNIT_ASSERT(session_context("a.example.com") == session_context("a.example.com"));
    CPPUNIT_ASSERT(session_context("a.example.com") != session_context("b.example.com"));
  }

 private:
  static NameIndex sample() {
    NameIndex names;
    names.add({IdentifierKind::dns, "first.example.org"}, 1);
    names.add({IdentifierKind::dns, "*.example.com"}, 2);
    names.add({IdentifierKind::dns, "www.example.com"}, 3);
    return names;
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(CatalogNamesTest);

}  // namespace evercert
