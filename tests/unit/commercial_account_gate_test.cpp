#include <cppunit/extensions/HelperMacros.h>

#include <map>

#include "agent/commercial/account_gate.h"
#include "agent/issuer/issuer.h"

namespace evercert {
namespace {

using namespace std::chrono_literals;

// When requests may go out to one account at a CA, by a clock that the test turns.
class AccountGateTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(AccountGateTest);
  CPPUNIT_TEST(without_a_limit_everybody_comes_in_at_once);
  CPPUNIT_TEST(two_in_a_second_are_never_nearer_than_half_a_second);
  CPPUNIT_TEST(no_window_of_the_documents_is_ever_overfilled);
  CPPUNIT_TEST(orders_have_a_pace_of_their_own);
  CPPUNIT_TEST(who_is_sent_away_comes_back_at_another_time_than_the_others);
  CPPUNIT_TEST(after_a_refusal_one_asks_and_the_others_wait);
  CPPUNIT_TEST(after_a_refusal_there_is_no_burst);
  CPPUNIT_TEST(a_refusal_without_a_time_is_waited_for_longer_each_time);
  CPPUNIT_TEST(one_that_got_no_answer_lets_another_ask);
  CPPUNIT_TEST(a_limit_on_orders_holds_nothing_else_back);
  CPPUNIT_TEST(one_account_has_one_gate);
  CPPUNIT_TEST(who_must_come_again_is_told_when_and_has_not_failed);
  CPPUNIT_TEST_SUITE_END();

  static AccountPace requests(unsigned burst, std::chrono::milliseconds each) { return {RequestPace{burst, each}, {}}; }

 public:
  void without_a_limit_everybody_comes_in_at_once() {
    AccountGate gate({});
    for (int i = 0; i < 1000; ++i) CPPUNIT_ASSERT(gate.ask(i % 2 == 0, now_).wait == 0ms);
  }

  void two_in_a_second_are_never_nearer_than_half_a_second() {
    AccountGate gate(requests(1, 500ms));
    for (const auto wait : {0ms, 500ms, 1000ms, 1500ms}) {
      const auto answer = gate.ask(false, now_);
      CPPUNIT_ASSERT(answer.come_in && answer.wait == wait);
    }
    CPPUNIT_ASSERT(gate.ask(false, now_ + 1900ms).wait == 100ms);
  }

  void no_window_of_the_documents_is_ever_overfilled() {
    // CertCentral: 100 in five seconds, 1,000 in three minutes.
    AccountGate gate(requests(60, 200ms));
    std::vector<AccountGate::Time> sent;
    for (auto time = now_; time < now_ + 400s; time += 5ms) {
      const auto answer = gate.ask(false, time);
      if (answer.come_in) sent.push_back(time + answer.wait);
    }
    CPPUNIT_ASSERT(sent.size() > 1900);
    for (std::size_t i = 0; i + 100 < sent.size(); ++i) CPPUNIT_ASSERT(sent[i + 100] - sent[i] > 5s);
    for (std::size_t i = 0; i + 1000 < sent.size(); ++i) CPPUNIT_ASSERT(sent[i + 1000] - sent[i] > 180s);
  }

  void orders_have_a_pace_of_their_own() {
    AccountGate gate({std::nullopt, RequestPace{2, 1000ms}});
    CPPUNIT_ASSERT(gate.ask(true, now_).wait == 0ms && gate.ask(true, now_).wait == 0ms);
    CPPUNIT_ASSERT(gate.ask(true, now_).wait == 1000ms);
    CPPUNIT_ASSERT(gate.ask(false, now_).wait == 0ms);
  }

  void who_is_sent_away_comes_back_at_another_time_than_the_others() {
    AccountGate gate({std::nullopt, RequestPace{1, 1500ms}});
    for (int i = 0; i < 3; ++i) CPPUNIT_ASSERT(gate.ask(true, now_).come_in);
    for (const auto wait : {4500ms, 6000ms, 7500ms}) {
      const auto answer = gate.ask(true, now_);
      CPPUNIT_ASSERT(!answer.come_in && answer.wait == wait);
    }
    // Thirty orders that all want in at once are all in after a little more than thirty turns.
    AccountGate busy({std::nullopt, certinext_orders});
    std::multimap<AccountGate::Time, int> coming;
    for (int i = 0; i < 30; ++i) coming.emplace(now_, i);
    std::size_t asked = 0;
    AccountGate::Time last = now_;
    for (; !coming.empty(); ++asked) {
      const auto [time, who] = *coming.begin();
      coming.erase(coming.begin());
      const auto answer = busy.ask(true, time);
      if (!answer.come_in) coming.emplace(time + answer.wait, who);
      last = std::max(last, time + answer.wait);
    }
    CPPUNIT_ASSERT(asked < 90 && last - now_ < 60s);
  }

  void after_a_refusal_one_asks_and_the_others_wait() {
    AccountGate gate({});
    CPPUNIT_ASSERT(gate.refused(false, 20s, now_) == 20s);
    for (int i = 0; i < 3; ++i) CPPUNIT_ASSERT(!gate.ask(false, now_ + 19s).come_in);
    CPPUNIT_ASSERT(gate.ask(false, now_ + 20s).come_in);
    for (int i = 0; i < 3; ++i) CPPUNIT_ASSERT(!gate.ask(i == 0, now_ + 21s).come_in);
    gate.passed(false);
    for (int i = 0; i < 3; ++i) CPPUNIT_ASSERT(gate.ask(i == 0, now_ + 21s).come_in);
  }

  void after_a_refusal_there_is_no_burst() {
    AccountGate gate({std::nullopt, RequestPace{5, 1000ms}});
    static_cast<void>(gate.refused(true, 30s, now_));
    CPPUNIT_ASSERT(gate.ask(true, now_ + 30s).wait == 0ms);
    gate.passed(true);
    CPPUNIT_ASSERT(gate.ask(true, now_ + 30s).wait == 1000ms);
    CPPUNIT_ASSERT(gate.ask(true, now_ + 40s).wait == 0ms);
  }

  void a_refusal_without_a_time_is_waited_for_longer_each_time() {
    AccountGate gate({});
    auto time = now_;
    for (const auto pause : {10s, 20s, 40s, 80s, 160s, 180s, 180s}) {
      CPPUNIT_ASSERT(gate.refused(false, std::nullopt, time) == pause);
      // One that was on its way with the first says nothing new.
      CPPUNIT_ASSERT(gate.refused(false, std::nullopt, time) == pause);
      time += pause;
      CPPUNIT_ASSERT(gate.ask(false, time).come_in);
    }
    gate.passed(false);
    CPPUNIT_ASSERT(gate.refused(false, std::nullopt, time) == 10s);
  }

  void one_that_got_no_answer_lets_another_ask() {
    AccountGate gate({});
    static_cast<void>(gate.refused(false, 5s, now_));
    CPPUNIT_ASSERT(gate.ask(false, now_ + 5s).come_in && !gate.ask(false, now_ + 5s).come_in);
    gate.lost(false);
    CPPUNIT_ASSERT(gate.ask(false, now_ + 5s).come_in);
  }

  void a_limit_on_orders_holds_nothing_else_back() {
    AccountGate gate({});
    static_cast<void>(gate.refused(true, 30s, now_));
    CPPUNIT_ASSERT(!gate.ask(true, now_).come_in && gate.ask(false, now_).come_in);
    // What was tracked meanwhile says nothing about orders.
    gate.passed(false);
    CPPUNIT_ASSERT(!gate.ask(true, now_ + 29s).come_in && gate.ask(true, now_ + 30s).come_in);
  }

  void one_account_has_one_gate() {
    const auto gate = AccountGate::of("a", {});
    CPPUNIT_ASSERT(gate == AccountGate::of("a", {}) && gate != AccountGate::of("b", {}));
  }

  void who_must_come_again_is_told_when_and_has_not_failed() {
    AccountGate gate({});
    static_cast<void>(gate.refused(false, 600s, std::chrono::steady_clock::now()));
    const auto turn = gate.enter(false, {});
    CPPUNIT_ASSERT(!turn && is_waiting(turn.error()) && turn.error().retry_after > 590s);
  }

 private:
  const AccountGate::Time now_{1000h};
};
CPPUNIT_TEST_SUITE_REGISTRATION(AccountGateTest);

}  // namespace
}  // namespace evercert
