#include <cppunit/extensions/HelperMacros.h>

#include "serving/config/industry_rules.h"

namespace evercert {
namespace {

using namespace std::chrono_literals;

class IndustryRulesTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(IndustryRulesTest);
  CPPUNIT_TEST(lives_get_shorter_by_the_day_of_issue);
  CPPUNIT_TEST(what_binds_is_said_with_what_comes_next);
  CPPUNIT_TEST_SUITE_END();

 public:
  void lives_get_shorter_by_the_day_of_issue() {
    const std::chrono::sys_days first = std::chrono::year{2026} / 3 / 15;
    CPPUNIT_ASSERT_EQUAL(398U, lifetime_rule(first - 1s).longest_days);
    CPPUNIT_ASSERT_EQUAL(200U, lifetime_rule(first).longest_days);
    CPPUNIT_ASSERT_EQUAL(100U, lifetime_rule(std::chrono::sys_days(std::chrono::year{2027} / 3 / 15)).longest_days);
    const auto last = std::chrono::sys_days(std::chrono::year{2029} / 3 / 15);
    CPPUNIT_ASSERT(lifetime_rule(last).longest_days == 47 && lifetime_rule(last).reuse_days == 10);
    CPPUNIT_ASSERT(next_lifetime_rule(last) == nullptr && next_lifetime_rule(last - 1s)->longest_days == 47);
  }

  void what_binds_is_said_with_what_comes_next() {
    CPPUNIT_ASSERT_EQUAL(std::string("certificates of at most 200 days, 100 from 2027-03-15"),
                         rules_text(std::chrono::sys_days(std::chrono::year{2026} / 11 / 30), false));
    CPPUNIT_ASSERT_EQUAL(
        std::string("certificates of at most 100 days, 47 from 2029-03-15; mail proves names until 2028-03-15"),
        rules_text(std::chrono::sys_days(std::chrono::year{2028} / 1 / 1), true));
    CPPUNIT_ASSERT_EQUAL(std::string("certificates of at most 47 days; mail proves no name since 2028-03-15"),
                         rules_text(std::chrono::sys_days(std::chrono::year{2030} / 1 / 1), true));
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(IndustryRulesTest);

}  // namespace
}  // namespace evercert
