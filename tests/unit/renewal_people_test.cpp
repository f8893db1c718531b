// What comes by itself or only by a person is waited for and told, and a person is not overruled.
#include <cppunit/extensions/HelperMacros.h>

#include "renewal_ground.h"

namespace evercert {
namespace {

using namespace std::chrono_literals;

class RenewalPeopleTest : public RenewalGround {
  CPPUNIT_TEST_SUITE(RenewalPeopleTest);
  CPPUNIT_TEST(people_are_waited_for_over_days_and_told_once_a_day);
  CPPUNIT_TEST(who_asks_is_told_again_what_people_must_do);
  CPPUNIT_TEST(once_people_have_acted_the_ca_is_asked_soon_again);
  CPPUNIT_TEST(a_rejected_order_is_not_placed_again_before_somebody_asks);
  CPPUNIT_TEST(what_comes_by_itself_is_waited_for_and_is_no_failure);
  CPPUNIT_TEST(what_does_not_come_for_long_is_a_failure);
  CPPUNIT_TEST(an_order_that_waits_for_its_turn_has_not_failed_and_keeps_its_key);
  CPPUNIT_TEST(a_cancelled_order_is_given_up_and_not_placed_again_before_somebody_asks);
  CPPUNIT_TEST(a_corrected_option_ends_the_wait_for_a_person_at_the_next_start);
  CPPUNIT_TEST(a_corrected_address_ends_the_pause_of_an_outage_at_the_next_start);
  CPPUNIT_TEST(a_corrected_option_ends_no_pause_of_what_the_ca_counts);
  CPPUNIT_TEST(another_ca_does_not_wait_for_what_the_one_before_counts);
  CPPUNIT_TEST(a_person_who_cancelled_and_asks_again_is_not_told_to_wait);
  CPPUNIT_TEST(who_asks_after_a_failed_try_is_not_told_that_there_is_nothing_to_do);
  CPPUNIT_TEST(who_asks_for_another_in_place_of_a_revoked_one_gets_it_once);
  CPPUNIT_TEST(what_a_person_has_dealt_with_is_no_problem_while_the_next_order_runs);
  CPPUNIT_TEST(a_problem_is_as_old_as_its_words_and_a_row_as_old_as_its_first_failure);
  CPPUNIT_TEST_SUITE_END();

 public:
  void people_are_waited_for_over_days_and_told_once_a_day() {
    std::size_t told = 0;
    events_.subscribe([&](const Event& event) { told += event.name == "action_required" ? 1 : 0; });
    ca().people_wanted = true;
    std::optional<Time> again = run();
    const Time begun = clock_.now();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, told);
    CPPUNIT_ASSERT(renewal_->view().failure && renewal_->view().failure->kind == ErrorKind::action_required);
    unsigned polls_of_first_hour = 0;
    unsigned polls = 0;
    while (clock_.now() < begun + 72h) {
      CPPUNIT_ASSERT(again.has_value());
      clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(*again - clock_.now()));
      again = run();
      ++polls;
      polls_of_first_hour += clock_.now() < begun + 1h ? 1 : 0;
    }
    CPPUNIT_ASSERT(polls_of_first_hour >= 4 && polls_of_first_hour <= 6);
    CPPUNIT_ASSERT(polls >= 26 && polls <= 36);
    CPPUNIT_ASSERT(told >= 3 && told <= 4);
    restart();
    run();
    CPPUNIT_ASSERT(renewal_->view().failure && renewal_->view().failure->since < clock_.now() - 48h);
    ca().people_wanted = false;
    CPPUNIT_ASSERT(!renewal_->request(false));
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    CPPUNIT_ASSERT(!renewal_->view().failure);
  }

  void who_asks_is_told_again_what_people_must_do() {
    std::size_t told = 0;
    events_.subscribe([&](const Event& event) { told += event.name == "action_required" ? 1 : 0; });
    ca().people_wanted = true;
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, told);
    CPPUNIT_ASSERT(!renewal_->request(false));
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, told);
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, told);
  }

  void once_people_have_acted_the_ca_is_asked_soon_again() {
    ca().people_wanted = true;
    std::optional<Time> again = run();
    for (int i = 0; i < 8; ++i) {
      clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(*again - clock_.now()));
      again = run();
    }
    CPPUNIT_ASSERT(*again - clock_.now() > 30min);
    ca().people_wanted = false;
    ca().working = true;
    clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(*again - clock_.now()));
    const Time acted = clock_.now();
    unsigned polls = ca().count("refresh");
    while (clock_.now() < acted + 10s) {
      again = run();
      clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(*again - clock_.now()));
    }
    CPPUNIT_ASSERT(ca().count("refresh") > polls + 5);
  }

  static Error waiting(const char* type, std::chrono::seconds pause) {
    return {ErrorKind::rate_limited, "not yet", pause, std::make_shared<const Problem>(Problem{type, "", "", {}})};
  }

  void a_rejected_order_is_not_placed_again_before_somebody_asks() {
    auto problem = std::make_shared<const Problem>(Problem{order_rejected, "", "", {}});
    ca().fail_next("place", {ErrorKind::action_required, "somebody rejected it", std::nullopt, problem});
    run();
    for (int day = 0; day < 30; ++day) {
      clock_.advance(24h);
      CPPUNIT_ASSERT(!run());
    }
    restart();
    run();
    CPPUNIT_ASSERT_EQUAL(1U, ca().count("place"));
    CPPUNIT_ASSERT(renewal_->view().failure && renewal_->view().failure->kind == ErrorKind::action_required);
    CPPUNIT_ASSERT(!renewal_->request(false));
    live(1min);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    // Other names are another order, and somebody has written them.
    ca().fail_next("place", {ErrorKind::action_required, "somebody rejected it", std::nullopt, problem});
    CPPUNIT_ASSERT(!renewal_->request(true));
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    certificate_.identifiers.push_back({IdentifierKind::dns, "other.example.test"});
    current_->covers = false;
    restart();
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, published_.size());
  }

  void what_comes_by_itself_is_waited_for_and_is_no_failure() {
    std::size_t failed = 0;
    events_.subscribe([&](const Event& event) { failed += event.name == "renewal_failed" ? 1 : 0; });
    for (int i = 0; i < 3; ++i) ca().fail_next("collect", waiting(issuer_not_yet, 5s));
    for (int i = 0; i < 3; ++i) {
      const auto again = run();
      CPPUNIT_ASSERT(again && *again - clock_.now() <= 5s);
      CPPUNIT_ASSERT(!renewal_->view().failure && renewal_->view().order);
      clock_.advance(5s);
    }
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{0}, failed);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
  }

  void what_does_not_come_for_long_is_a_failure() {
    for (int i = 0; i < 200; ++i) ca().fail_next("collect", waiting(issuer_not_yet, 5s));
    const Time begun = clock_.now();
    while (!renewal_->view().failure && clock_.now() < begun + 1h) {
      const auto again = run();
      clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(*again - clock_.now()));
    }
    CPPUNIT_ASSERT(renewal_->view().failure && renewal_->view().failure->kind == ErrorKind::rate_limited);
    CPPUNIT_ASSERT(clock_.now() - begun >= 10min && clock_.now() - begun < 11min);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
  }

  void an_order_that_waits_for_its_turn_has_not_failed_and_keeps_its_key() {
    ca().fail_next("place", waiting(issuer_turn, 7s));
    const auto again = run();
    CPPUNIT_ASSERT(again && *again - clock_.now() <= 7s && !renewal_->view().failure);
    const Bytes request = (*orders_.load(certificate_.name, KeyAlgorithm::ecdsa))->request;
    clock_.advance(7s);
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT(ca().placed_last() == request);
  }

  void a_cancelled_order_is_given_up_and_not_placed_again_before_somebody_asks() {
    CPPUNIT_ASSERT(renewal_->cancel().has_value());
    ca().people_wanted = true;
    run();
    CPPUNIT_ASSERT(!renewal_->cancel());
    const auto again = run();
    CPPUNIT_ASSERT_EQUAL(1U, ca().count("abandon"));
    CPPUNIT_ASSERT(!again);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    ca().people_wanted = false;
    CPPUNIT_ASSERT(!renewal_->request(false));
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  void a_corrected_option_ends_the_wait_for_a_person_at_the_next_start() {
    options_ = "with a wrong password";
    Error refused{ErrorKind::action_required, "the password is wrong"};
    ca().always = &refused;
    const auto again = run();
    CPPUNIT_ASSERT(again && *again >= clock_.now() + 23h);
    restart();
    run();
    CPPUNIT_ASSERT_EQUAL(1U, ca().count("place"));
    ca().always = nullptr;
    options_ = "with the right one";
    restart();
    live(1min);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  void a_corrected_address_ends_the_pause_of_an_outage_at_the_next_start() {
    fail_until_it_pauses({ErrorKind::connection, "it refused the connection"});
    restart();
    run();
    CPPUNIT_ASSERT(published_.empty());
    options_ = "with the right address";
    restart();
    CPPUNIT_ASSERT(!run() || !published_.empty());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT(!renewal_->view().failure);
  }

  void a_corrected_option_ends_no_pause_of_what_the_ca_counts() {
    fail_until_it_pauses({ErrorKind::rate_limited, "too many", 3h});
    options_ = "with another contact";
    restart();
    run();
    CPPUNIT_ASSERT(published_.empty());
  }

  void another_ca_does_not_wait_for_what_the_one_before_counts() {
    fail_until_it_pauses({ErrorKind::rate_limited, "too many", 3h});
    IssuerSpec spec = ca().spec();
    spec.uri = "https://elsewhere.test/directory";
    issuers_["ca"] = std::make_shared<FakeIssuer>(spec, clock_);
    restart();
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  void a_person_who_cancelled_and_asks_again_is_not_told_to_wait() {
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT(renewal_->request(false));  // it has just been issued
    ca().people_wanted = true;
    CPPUNIT_ASSERT(!renewal_->request(true));
    run();
    CPPUNIT_ASSERT(!renewal_->cancel());
    run();
    CPPUNIT_ASSERT(renewal_->view().failure && renewal_->view().failure->until_asked);
    ca().people_wanted = false;
    CPPUNIT_ASSERT(!renewal_->request(false));
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, published_.size());
    CPPUNIT_ASSERT(renewal_->request(false));
  }

  void who_asks_after_a_failed_try_is_not_told_that_there_is_nothing_to_do() {
    run();
    ca().fail_next("place", {ErrorKind::issuer_refused, "the CA said no"});
    CPPUNIT_ASSERT(!renewal_->request(true));
    run();
    CPPUNIT_ASSERT(renewal_->view().failure && !renewal_->view().order);
    CPPUNIT_ASSERT(!renewal_->request(false));
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, published_.size());
    CPPUNIT_ASSERT(!renewal_->view().failure);
    const auto refused = renewal_->request(false);
    CPPUNIT_ASSERT(refused && refused->fresh);
    // A step of an open order that failed is tried again as well.
    ca().fail_next("finalize", {ErrorKind::connection, "lost"});
    CPPUNIT_ASSERT(!renewal_->request(true));
    run();
    CPPUNIT_ASSERT(renewal_->view().order);
    const std::size_t orders = ca().orders();
    CPPUNIT_ASSERT(!renewal_->request(false));
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{3}, published_.size());
    CPPUNIT_ASSERT_EQUAL(orders, ca().orders());
    // Three came within a day: what fails now needs --force, and says so.
    ca().fail_next("place", {ErrorKind::issuer_refused, "the CA said no"});
    CPPUNIT_ASSERT(!renewal_->request(true));
    run();
    const auto limited = renewal_->request(false);
    CPPUNIT_ASSERT(limited && !limited->fresh && limited->why.find("--force") != std::string::npos);
  }

  void who_asks_for_another_in_place_of_a_revoked_one_gets_it_once() {
    run();
    CPPUNIT_ASSERT(renewal_->request(false));
    current_->revoked = true;
    renewal_->installed(current_);
    // Nobody asked: nothing is ordered by itself.
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    ca().people_wanted = true;
    CPPUNIT_ASSERT(!renewal_->request(false));
    run();
    // While the order is open there is no other one, however often somebody asks.
    CPPUNIT_ASSERT(!renewal_->request(false));
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca().orders());
    ca().people_wanted = false;
    CPPUNIT_ASSERT(!renewal_->request(false));
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, published_.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca().orders());
    const auto refused = renewal_->request(false);
    CPPUNIT_ASSERT(refused && refused->fresh);
  }

  void what_a_person_has_dealt_with_is_no_problem_while_the_next_order_runs() {
    const auto waits = [&] { return renewal_->view().order.has_value(); };
    ca().people_wanted = true;
    run();
    CPPUNIT_ASSERT(!renewal_->cancel());
    run();
    CPPUNIT_ASSERT(renewal_->view().failure.has_value());
    ca().people_wanted = false;
    ca().working = true;
    CPPUNIT_ASSERT(!renewal_->request(false));
    run();
    CPPUNIT_ASSERT(waits() && !renewal_->view().failure);
    restart();
    run();
    CPPUNIT_ASSERT(waits() && !renewal_->view().failure);
  }

  void a_problem_is_as_old_as_its_words_and_a_row_as_old_as_its_first_failure() {
    Error first{ErrorKind::issuer_refused, "no"};
    Error second{ErrorKind::issuer_refused, "still no"};
    ca().always = &first;
    const Time begun = clock_.now();
    auto again = run();
    clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(*again - clock_.now()));
    again = run();
    CPPUNIT_ASSERT(renewal_->view().failure->said_since == renewal_->view().failure->since);
    ca().always = &second;
    clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(*again - clock_.now()));
    run();
    restart();
    run();
    const auto failure = *renewal_->view().failure;
    CPPUNIT_ASSERT_EQUAL(std::string("still no"), failure.message);
    CPPUNIT_ASSERT(failure.since <= begun + 1s && failure.said_since > begun + 1s && failure.in_a_row == 3);
  }

 private:
  void fail_until_it_pauses(Error error) {
    ca().always = &error;
    for (int tries = 0; tries < 30; ++tries) {
      const auto again = run();
      CPPUNIT_ASSERT(again);
      if (*again > clock_.now() + 5min) break;
      clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(*again - clock_.now()));
    }
    ca().always = nullptr;
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(RenewalPeopleTest);

}  // namespace
}  // namespace evercert
