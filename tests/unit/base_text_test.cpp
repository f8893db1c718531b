// RFC 3629, and what Unicode says of characters that are not seen.
#include <cppunit/extensions/HelperMacros.h>

#include "evercert/text.h"

using namespace evercert;

namespace {

class TextTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(TextTest);
  CPPUNIT_TEST(what_a_person_can_read_stays_as_it_is);
  CPPUNIT_TEST(control_characters_are_named_and_line_breaks_become_blanks);
  CPPUNIT_TEST(marks_of_direction_and_width_are_named);
  CPPUNIT_TEST(bytes_that_are_no_utf8_are_named);
  CPPUNIT_TEST(what_is_too_long_is_cut_between_characters);
  CPPUNIT_TEST(what_was_made_printable_stays_so);
  CPPUNIT_TEST_SUITE_END();

  void what_a_person_can_read_stays_as_it_is() {
    for (const char* text :
         {"", "www.example.com: no (caa)", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", "\xd7\xa9\xd7\x9c"})
      CPPUNIT_ASSERT_EQUAL(std::string(text), printable(text));
  }

  void control_characters_are_named_and_line_breaks_become_blanks() {
    CPPUNIT_ASSERT_EQUAL(std::string("a\\x1b[2Jb c  d\\x7f"), printable("a\x1b[2Jb\nc\r\td\x7f"));
    CPPUNIT_ASSERT_EQUAL(std::string("\\x00"), printable(std::string(1, '\0')));
    // Some terminals take U+009B for the beginning of a command, as they do ESC [.
    CPPUNIT_ASSERT_EQUAL(std::string("\\u0080\\u009b2J\\u009f"), printable("\xc2\x80\xc2\x9b\x32J\xc2\x9f"));
    CPPUNIT_ASSERT_EQUAL(std::string("\xc2\xa0"), printable("\xc2\xa0"));
  }

  void marks_of_direction_and_width_are_named() {
    CPPUNIT_ASSERT_EQUAL(std::string("\\u202egro.elpmaxe"), printable("\xe2\x80\xaegro.elpmaxe"));
    CPPUNIT_ASSERT_EQUAL(
        std::string("\\u2066\\u2069\\u200b\\u200f\\u2028\\u2029\\ufeff\\u00ad\\u061c"),
        printable("\xe2\x81\xa6\xe2\x81\xa9\xe2\x80\x8b\xe2\x80\x8f\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf\xc2\xad\xd8\x9c"));
    CPPUNIT_ASSERT_EQUAL(std::string("\\ue0041"), printable("\xf3\xa0\x81\x81"));
  }

  void bytes_that_are_no_utf8_are_named() {
    CPPUNIT_ASSERT_EQUAL(std::string("a\\xffb"), printable("a\xff"
                                                           "b"));
    CPPUNIT_ASSERT_EQUAL(std::string("\\xc0\\x80"), printable("\xc0\x80"));                    // overlong
    CPPUNIT_ASSERT_EQUAL(std::string("\\xed\\xa0\\x80"), printable("\xed\xa0\x80"));           // surrogate
    CPPUNIT_ASSERT_EQUAL(std::string("\\xe2\\x82"), printable("\xe2\x82"));                    // cut off
    CPPUNIT_ASSERT_EQUAL(std::string("\\xf4\\x90\\x80\\x80"), printable("\xf4\x90\x80\x80"));  // beyond U+10FFFF
  }

  void what_is_too_long_is_cut_between_characters() {
    CPPUNIT_ASSERT_EQUAL(std::string("abcdefgh"), printable("abcdefgh", 8));
    CPPUNIT_ASSERT_EQUAL(std::string("abcde..."), printable("abcdefghi", 8));
    CPPUNIT_ASSERT_EQUAL(std::string("\xe2\x82\xac..."), printable("\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", 8));
    CPPUNIT_ASSERT_EQUAL(std::string("a..."), printable("a\x1b\x1b\x1b", 7));
    for (std::size_t limit = 0; limit < 30; ++limit) {
      const std::string cut = printable("\x1b\xe2\x82\xac\xff\xf0\x9f\x98\x80\xe2\x80\xae and so on, and on", limit);
      CPPUNIT_ASSERT(cut.size() <= limit);
      CPPUNIT_ASSERT_EQUAL(cut, printable(cut));
    }
    CPPUNIT_ASSERT(printable(std::string(1U << 20, '\x1b')).size() <= longest_line);
  }

  void what_was_made_printable_stays_so() {
    std::string all;
    for (unsigned first = 0; first < 256; ++first)
      for (unsigned second = 0; second < 256; second += 7) all += {static_cast<char>(first), static_cast<char>(second), '\x80'};
    const std::string once = printable(all, all.size() * 8);
    CPPUNIT_ASSERT_EQUAL(once, printable(once, once.size()));
    for (const char letter : once) CPPUNIT_ASSERT(static_cast<unsigned char>(letter) >= 0x20 && letter != 0x7f);
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(TextTest);

}  // namespace
