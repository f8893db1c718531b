// RFC 3339 section 5.
#include <cppunit/extensions/HelperMacros.h>

#include "serving/base/bounds.h"
#include "serving/base/rfc3339.h"

using namespace evercert;

namespace {

class Rfc3339Test : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(Rfc3339Test);
  CPPUNIT_TEST(the_examples_of_the_rfc_are_read);
  CPPUNIT_TEST(what_is_no_time_is_not_read);
  CPPUNIT_TEST(what_lies_too_far_away_is_held_to_the_bounds);
  CPPUNIT_TEST_SUITE_END();

  static std::int64_t seconds(const char* text) {
    const auto time = time_in(text);
    CPPUNIT_ASSERT_MESSAGE(text, time);
    return std::chrono::system_clock::to_time_t(*time);
  }

  void the_examples_of_the_rfc_are_read() {
    CPPUNIT_ASSERT_EQUAL(std::int64_t{482196050}, seconds("1985-04-12T23:20:50.52Z"));
    CPPUNIT_ASSERT_EQUAL(std::int64_t{851042397}, seconds("1996-12-19T16:39:57-08:00"));
    CPPUNIT_ASSERT_EQUAL(seconds("1996-12-20T00:39:57Z"), seconds("1996-12-19T16:39:57-08:00"));
    CPPUNIT_ASSERT_EQUAL(seconds("1991-01-01T00:00:00Z"), seconds("1990-12-31T23:59:60Z"));
    CPPUNIT_ASSERT_EQUAL(seconds("1996-12-19T00:00:00Z"), seconds("1996-12-19T05:30:00+05:30"));
  }

  void what_is_no_time_is_not_read() {
    for (const char* text : {"", "-", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-11-30 12:00:00Z",
                             "2026-11-30T12:00:00", "2026-11-30T12:00:00.Z", "2026-11-30T12:00:00+1:00",
                             "2026-11-30T12:00:00+24:00", "2026-11-30T12:00:00Z ", "2026-11-30T12:00:00.5"})
      CPPUNIT_ASSERT_MESSAGE(text, !time_in(text));
  }

  void what_lies_too_far_away_is_held_to_the_bounds() {
    CPPUNIT_ASSERT_EQUAL(std::int64_t{farthest_moment.count()}, seconds("9999-12-31T23:59:59Z"));
    CPPUNIT_ASSERT_EQUAL(std::int64_t{0}, seconds("0000-01-01T00:00:00Z"));
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(Rfc3339Test);

}  // namespace
