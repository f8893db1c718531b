// Numbers from outside are held to their bounds.
#include <cppunit/extensions/HelperMacros.h>

#include "serving/base/bounds.h"
#include "serving/base/json.h"

using namespace evercert;

namespace {

using namespace std::chrono_literals;

class BoundsTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(BoundsTest);
  CPPUNIT_TEST(a_number_is_digits_within_its_bounds);
  CPPUNIT_TEST(a_number_of_a_document_is_held_to_its_bounds);
  CPPUNIT_TEST(no_moment_is_beyond_what_the_clock_can_count);
  CPPUNIT_TEST(a_wish_is_from_a_second_to_a_day);
  CPPUNIT_TEST_SUITE_END();

  void a_number_is_digits_within_its_bounds() {
    CPPUNIT_ASSERT(whole_number_in("1", 1, highest_generation) == std::optional<std::uint64_t>(1));
    CPPUNIT_ASSERT(whole_number_in("281474976710656", 1, highest_generation) == highest_generation);
    for (const char* text : {"", "0", "-1", "+1", " 1", "1 ", "1.0", "1e3", "0x1", "281474976710657", "18446744073709551615",
                             "18446744073709551616", "99999999999999999999999999"}) {
      CPPUNIT_ASSERT_MESSAGE(text, !whole_number_in(text, 1, highest_generation));
    }
  }

  void a_number_of_a_document_is_held_to_its_bounds() {
    const Json value = parse_json(R"({"a":18446744073709551615,"b":-1,"c":5,"d":1e300,"e":5.0})", "it").value();
    CPPUNIT_ASSERT(!json_number(value, "a", "it"));
    CPPUNIT_ASSERT_EQUAL(std::int64_t{-1}, json_number(value, "b", "it").value());
    CPPUNIT_ASSERT(!json_number(value, "b", "it", 0));
    CPPUNIT_ASSERT(!json_number(value, "c", "it", 6, 9) && !json_number(value, "c", "it", 1, 4));
    CPPUNIT_ASSERT_EQUAL(std::int64_t{5}, json_number(value, "c", "it", 5, 5).value());
    CPPUNIT_ASSERT(!json_number(value, "d", "it") && !json_number(value, "e", "it"));
  }

  void no_moment_is_beyond_what_the_clock_can_count() {
    using std::numeric_limits;
    const auto first = moment_of(numeric_limits<std::int64_t>::min());
    const auto last = moment_of(numeric_limits<std::int64_t>::max());
    CPPUNIT_ASSERT(first == moment_of(0) && last > first && last - first == farthest_moment);
    CPPUNIT_ASSERT(last + 24h > last);
    CPPUNIT_ASSERT(moment_of_milliseconds(numeric_limits<std::int64_t>::max()) == last);
    CPPUNIT_ASSERT(moment_of_milliseconds(-5) == first);
    CPPUNIT_ASSERT(moment_of(1'700'000'000) == std::chrono::system_clock::from_time_t(1'700'000'000));
  }

  void a_wish_is_from_a_second_to_a_day() {
    CPPUNIT_ASSERT(bounded_wish(0s) == 1s && bounded_wish(-5s) == 1s && bounded_wish(7s) == 7s);
    CPPUNIT_ASSERT(bounded_wish(std::chrono::seconds(99999999)) == 24h);
    CPPUNIT_ASSERT(bounded_wish(std::chrono::seconds::max()) == 24h);
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(BoundsTest);

}  // namespace
