// Which end of a certificate with several kinds of keys counts.
#include <cppunit/extensions/HelperMacros.h>

#include "agent/publish/publication.h"

namespace evercert {
namespace {

using namespace std::chrono_literals;

class LifetimeTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(LifetimeTest);
  CPPUNIT_TEST(the_kind_of_key_that_ends_first_counts);
  CPPUNIT_TEST(a_kind_of_key_that_nobody_wants_any_more_alarms_nobody);
  CPPUNIT_TEST(where_there_is_no_other_it_counts);
  CPPUNIT_TEST_SUITE_END();

  static Publication::Current ending(std::chrono::hours ecdsa, std::chrono::hours rsa) {
    Publication::Current current;
    current.pairs.resize(2);
    current.pairs[0].key = {KeyAlgorithm::ecdsa, 256};
    current.pairs[0].lifetime = {Time(), Time(ecdsa)};
    current.pairs[1].key = {KeyAlgorithm::rsa, 2048};
    current.pairs[1].lifetime = {Time(), Time(rsa)};
    return current;
  }

  void the_kind_of_key_that_ends_first_counts() {
    CPPUNIT_ASSERT(!Publication::Current().lifetime());
    CPPUNIT_ASSERT(ending(5h, 3h).lifetime()->not_after == Time(3h));
    CPPUNIT_ASSERT(ending(3h, 5h).lifetime()->not_after == Time(3h));
  }
  void a_kind_of_key_that_nobody_wants_any_more_alarms_nobody() {
    auto current = ending(5h, 3h);
    current.pairs[1].wanted = false;
    CPPUNIT_ASSERT(current.lifetime()->not_after == Time(5h));
  }
  void where_there_is_no_other_it_counts() {
    auto current = ending(5h, 3h);
    current.pairs[0].wanted = current.pairs[1].wanted = false;
    CPPUNIT_ASSERT(current.lifetime()->not_after == Time(3h));
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(LifetimeTest);

}  // namespace
}  // namespace evercert
