#include <cppunit/extensions/HelperMacros.h>

#include "agent/observe/alarms.h"
#include "fake/fake_clock.h"

using namespace evercert;
using namespace std::chrono_literals;

namespace {

class AlarmsTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(AlarmsTest);
  CPPUNIT_TEST(what_is_wrong_is_told_at_once_and_again_each_day);
  CPPUNIT_TEST(the_end_is_told_once_at_the_same_level);
  CPPUNIT_TEST(what_another_event_has_told_is_due_tomorrow);
  CPPUNIT_TEST(certificates_and_kinds_do_not_silence_each_other);
  CPPUNIT_TEST(a_clock_that_is_turned_back_does_not_silence_it);
  CPPUNIT_TEST(what_is_forgotten_has_no_end);
  CPPUNIT_TEST_SUITE_END();

 public:
  void setUp() override {
    events_.subscribe([this](const Event& event) { told_.push_back(event); });
  }

  void what_is_wrong_is_told_at_once_and_again_each_day() {
    for (int hour = 0; hour < 73; ++hour, clock_.advance(1h)) alarms_.stands({"a", "ca", "failing", "no"});
    CPPUNIT_ASSERT_EQUAL(std::size_t{4}, told_.size());
    for (const Event& event : told_) {
      CPPUNIT_ASSERT_EQUAL(std::string("failing"), event.name);
      CPPUNIT_ASSERT(event.level == LogLevel::error && event.certificate == "a" && event.issuer == "ca" &&
                     event.sentence == "no");
    }
    CPPUNIT_ASSERT_EQUAL(told_.front().fields.back().second, told_.back().fields.back().second);  // since
  }

  void the_end_is_told_once_at_the_same_level() {
    alarms_.over("a", "failing", "never began");
    CPPUNIT_ASSERT(told_.empty());
    alarms_.stands({"a", "ca", "failing", "no"});
    alarms_.over("a", "failing", "well again");
    alarms_.over("a", "failing", "well again");
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, told_.size());
    CPPUNIT_ASSERT(told_[1].name == "recovered" && told_[1].level == LogLevel::error && told_[1].sentence == "well again");
  }

  void what_another_event_has_told_is_due_tomorrow() {
    alarms_.stands({"a", "", "not_served", "still"}, true);
    clock_.advance(23h);
    alarms_.stands({"a", "", "not_served", "still"}, true);
    CPPUNIT_ASSERT(told_.empty());
    clock_.advance(1h);
    alarms_.stands({"a", "", "not_served", "still"}, true);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, told_.size());
    alarms_.over("a", "not_served", "served");
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, told_.size());
  }

  void certificates_and_kinds_do_not_silence_each_other() {
    for (const char* name : {"a", "b"})
      for (const char* what : {"failing", "expired"}) alarms_.stands({name, "", what, "no"});
    CPPUNIT_ASSERT_EQUAL(std::size_t{4}, told_.size());
  }

  void a_clock_that_is_turned_back_does_not_silence_it() {
    clock_.advance(240h);
    alarms_.stands({"a", "", "failing", "no"});
    clock_.advance(-240h);
    alarms_.stands({"a", "", "failing", "no"});
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, told_.size());
  }

  void what_is_forgotten_has_no_end() {
    alarms_.stands({"a", "", "failing", "no"});
    alarms_.forget("a");
    alarms_.over("a", "failing", "well");
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, told_.size());
  }

 private:
  FakeClock clock_;
  Events events_;
  Alarms alarms_{events_, clock_};
  std::vector<Event> told_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(AlarmsTest);

}  // namespace
