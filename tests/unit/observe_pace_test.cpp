// When the status pages are written again.
#include <cppunit/extensions/HelperMacros.h>

#include "agent/observe/page_pace.h"

using namespace evercert;
using namespace std::chrono_literals;

namespace {

using Instant = std::chrono::steady_clock::time_point;

class PagePaceTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(PagePaceTest);
  CPPUNIT_TEST(an_agent_that_had_to_wait_while_it_wrote_writes_again_soon);
  CPPUNIT_TEST(at_most_a_tenth_of_a_processor_goes_into_pages);
  CPPUNIT_TEST(no_page_is_older_than_ten_seconds_however_many_certificates_there_are);
  CPPUNIT_TEST(what_happens_together_is_told_together);
  CPPUNIT_TEST_SUITE_END();

  // The pause after a writing that took so much of the processor.
  static std::chrono::milliseconds pause_after(std::chrono::milliseconds work) {
    std::chrono::nanoseconds used = 3s;
    PagePace pace([&] { return used; });
    pace.begin();
    used += work;
    const Instant ended{1h};
    pace.end(ended);
    CPPUNIT_ASSERT(pace.written() == ended);
    return pace.left(ended);
  }

  // Between begin() and end() any time may have passed; the pace never looks at it.
  void an_agent_that_had_to_wait_while_it_wrote_writes_again_soon() { CPPUNIT_ASSERT(pause_after(1ms) == 200ms); }

  void at_most_a_tenth_of_a_processor_goes_into_pages() { CPPUNIT_ASSERT(pause_after(300ms) == 3s); }

  void no_page_is_older_than_ten_seconds_however_many_certificates_there_are() { CPPUNIT_ASSERT(pause_after(5s) == 10s); }

  void what_happens_together_is_told_together() {
    PagePace pace([] { return 0ns; });
    CPPUNIT_ASSERT(pace.left(Instant{1h}) == 1ms);
    pace.begin();
    pace.end(Instant{1h});
    CPPUNIT_ASSERT(pace.left(Instant{1h} + 150ms) == 50ms);
    CPPUNIT_ASSERT(pace.left(Instant{1h} + 5s) == 1ms);
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(PagePaceTest);

}  // namespace
