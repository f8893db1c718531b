// One certificate through orders, failures and restarts.
#include <cppunit/extensions/HelperMacros.h>

#include "renewal_ground.h"

namespace evercert {
namespace {

using namespace std::chrono_literals;

class RenewalTest : public RenewalGround {
  CPPUNIT_TEST_SUITE(RenewalTest);
  CPPUNIT_TEST(the_first_certificate_is_ordered_at_once_and_the_next_when_it_is_due);
  CPPUNIT_TEST(a_failed_challenge_pauses_and_a_restart_does_not_shorten_the_pause);
  CPPUNIT_TEST(each_row_of_failed_challenges_is_kept_over_restarts_and_other_configurations);
  CPPUNIT_TEST(a_name_fails_four_times_an_hour_at_most_whatever_asks_for_it);
  CPPUNIT_TEST(kinds_of_failure_that_alternate_do_not_begin_each_row_anew);
  CPPUNIT_TEST(an_order_that_was_under_way_is_carried_on_after_a_restart);
  CPPUNIT_TEST(a_published_order_whose_record_was_not_closed_is_not_published_again);
  CPPUNIT_TEST(a_full_disk_at_publication_keeps_the_order_and_publishes_later);
  CPPUNIT_TEST(an_order_that_gets_on_has_no_row_of_failures);
  CPPUNIT_TEST(the_guard_refuses_a_request_that_comes_too_soon_unless_forced);
  CPPUNIT_TEST(a_certificate_that_was_lost_is_ordered_again_at_once_but_three_times_a_day);
  CPPUNIT_TEST(a_forgotten_order_is_placed_anew_at_once_but_only_once);
  CPPUNIT_TEST(a_held_certificate_places_no_order);
  CPPUNIT_TEST(other_names_give_the_open_order_up_and_place_a_new_one);
  CPPUNIT_TEST(a_start_tries_again_what_the_configuration_had_wrong);
  CPPUNIT_TEST(what_would_take_a_name_off_tls_is_kept_until_another_has_it);
  CPPUNIT_TEST(who_forces_a_renewal_does_not_wait_for_others);
  CPPUNIT_TEST(a_request_that_comes_while_one_is_published_is_not_forgotten);
  CPPUNIT_TEST_SUITE_END();

 public:
  void the_first_certificate_is_ordered_at_once_and_the_next_when_it_is_due() {
    const auto again = run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT(again);
    CPPUNIT_ASSERT(*again > clock_.now() + 57 * 24h && *again < clock_.now() + 61 * 24h);
    clock_.advance(std::chrono::duration_cast<std::chrono::milliseconds>(*again - clock_.now()) + 1s);
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, published_.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca().orders());
  }

  void a_failed_challenge_pauses_and_a_restart_does_not_shorten_the_pause() {
    ca().validation_fails = true;
    auto again = run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    CPPUNIT_ASSERT(again && *again >= clock_.now() + 4s && *again <= clock_.now() + 6s);
    for (int i = 0; i < 5; ++i) {
      restart();
      again = run();
      CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
      CPPUNIT_ASSERT(again && *again > clock_.now() + 4s);
    }
    clock_.advance(6s);
    restart();
    again = run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca().orders());
    CPPUNIT_ASSERT(again && *again >= clock_.now() + 1min && *again < clock_.now() + 70s);
  }

  void each_row_of_failed_challenges_is_kept_over_restarts_and_other_configurations() {
    ca().validation_fails = true;
    std::vector<Time> placed;
    const std::vector<std::chrono::seconds> row{5s, 1min, 15min, 1h, 3h, 6h, 24h, 24h};
    for (const auto pause : row) {
      const auto orders = ca().orders();
      run();
      CPPUNIT_ASSERT_EQUAL(orders + 1, ca().orders());
      placed.push_back(clock_.now());
      // A name that is added, an option that has changed, a mere reload: the pause goes on.
      certificate_.identifiers.push_back({IdentifierKind::dns, "n" + std::to_string(orders) + ".example.test"});
      options_ = "as written the time " + std::to_string(orders);
      restart();
      const auto again = run();
      CPPUNIT_ASSERT_EQUAL(orders + 1, ca().orders());
      CPPUNIT_ASSERT(again && *again >= placed.back() + pause && *again <= placed.back() + pause + pause / 10 + 1s);
      clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(*again - clock_.now()));
    }
    for (std::size_t i = 0; i + 4 < placed.size(); ++i) CPPUNIT_ASSERT(placed[i + 4] - placed[i] >= 1h);
  }

  void a_name_fails_four_times_an_hour_at_most_whatever_asks_for_it() {
    ca().validation_fails = true;
    std::vector<Time> placed;
    ca().witness = [&](const std::string& action, bool after) {
      if (action == "place" && !after) placed.push_back(clock_.now());
    };
    // The last twentieth of a life, two kinds of key, certificates of other names with this one, and a pace that was lost.
    current_ = Installed{{clock_.now() - 99h, clock_.now() + 1h}, 1, true};
    const Time begun = clock_.now();
    for (unsigned round = 0; clock_.now() < begun + 5h; ++round) {
      certificate_.name = "c" + std::to_string(round % 7) + ".example.test";
      restart();
      const auto again = run();
      static_cast<void>(renewal_->request(false).has_value());
      run();
      CPPUNIT_ASSERT(again);
      clock_.advance(7min);
    }
    CPPUNIT_ASSERT(placed.size() >= 8);
    for (std::size_t i = 0; i + 4 < placed.size(); ++i) CPPUNIT_ASSERT(placed[i + 4] - placed[i] >= 1h);
    CPPUNIT_ASSERT(renewal_->request(false)->why.find("--force") != std::string::npos);
  }

  void kinds_of_failure_that_alternate_do_not_begin_each_row_anew() {
    const Time begun = clock_.now();
    unsigned tries = 0;
    for (; clock_.now() < begun + 1h; ++tries) {
      Error error{tries % 2 == 0 ? ErrorKind::connection : ErrorKind::rate_limited, "no", 1s};
      ca().fail_next("place", error);
      const auto again = run();
      CPPUNIT_ASSERT(again);
      clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(*again - clock_.now()));
      ca().fail_next("find", error);
    }
    CPPUNIT_ASSERT_MESSAGE(std::to_string(tries), tries < 90);
  }

  void an_order_that_was_under_way_is_carried_on_after_a_restart() {
    ca().fail_next("finalize", {ErrorKind::connection, "lost"}, true);
    run();
    CPPUNIT_ASSERT(published_.empty());
    restart();
    clock_.advance(1min);
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(1U, ca().count("finalize"));
  }

  void a_published_order_whose_record_was_not_closed_is_not_published_again() {
    die_after_publishing_ = true;
    CPPUNIT_ASSERT_THROW(run(), std::runtime_error);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    restart();
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
  }

  void a_full_disk_at_publication_keeps_the_order_and_publishes_later() {
    publication_fails_ = Error{ErrorKind::storage, "no space left on device"};
    const auto again = run();
    CPPUNIT_ASSERT(again && *again > clock_.now());
    CPPUNIT_ASSERT(renewal_->view().failure && renewal_->view().failure->kind == ErrorKind::storage);
    publication_fails_.reset();
    clock_.advance(1min);
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    CPPUNIT_ASSERT(!renewal_->view().failure);
  }

  void an_order_that_gets_on_has_no_row_of_failures() {
    const Error lost{ErrorKind::connection, "the connection was lost"};
    for (const char* action : {"challenges", "finalize", "collect"}) {
      for (int time = 0; time < 2; ++time) ca().fail_next(action, lost);
    }
    unsigned most = 0;
    for (int round = 0; round < 20 && published_.empty(); ++round) {
      run();
      if (const auto failure = renewal_->view().failure) most = std::max(most, failure->in_a_row);
      clock_.advance(1min);
    }
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT_EQUAL(2U, most);
  }

  void the_guard_refuses_a_request_that_comes_too_soon_unless_forced() {
    run();
    const auto refused = renewal_->request(false);
    CPPUNIT_ASSERT(refused && refused->fresh);
    // Whoever reads it may have no --force, as on HAProxy's own command line.
    CPPUNIT_ASSERT(refused->why.find("--force") == std::string::npos);
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT(!renewal_->request(true).has_value());
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, published_.size());
    clock_.advance(48h);
    CPPUNIT_ASSERT(!renewal_->request(false).has_value());
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{3}, published_.size());
  }

  void a_request_that_comes_while_one_is_published_is_not_forgotten() {
    asks_when_published_ = true;
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, published_.size());
  }

  void a_certificate_that_was_lost_is_ordered_again_at_once_but_three_times_a_day() {
    for (const std::size_t lives : {1, 2, 3, 3}) {
      current_.reset();
      restart();
      run();
      CPPUNIT_ASSERT_EQUAL(lives, published_.size());
    }
  }

  void a_forgotten_order_is_placed_anew_at_once_but_only_once() {
    auto problem = std::make_shared<const Problem>(Problem{order_forgotten, "", "", {}});
    const Error forgotten{ErrorKind::issuer_refused, "no such order", std::nullopt, problem};
    ca().fail_next("finalize", forgotten);
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca().orders());
    clock_.advance(24h * 80);
    ca().fail_next("finalize", forgotten);
    ca().fail_next("finalize", forgotten);
    const auto again = run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{4}, ca().orders());
    CPPUNIT_ASSERT(again && *again >= clock_.now() + 1min);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  void a_held_certificate_places_no_order() {
    renewal_->hold({ErrorKind::action_required, "sealed under another key"});
    CPPUNIT_ASSERT(!run());
    CPPUNIT_ASSERT_EQUAL(std::size_t{0}, ca().orders());
    CPPUNIT_ASSERT(renewal_->view().held);
    const auto refused = renewal_->request(true);
    CPPUNIT_ASSERT(refused && !refused->fresh);
  }

  void other_names_give_the_open_order_up_and_place_a_new_one() {
    ca().fail_next("finalize", {ErrorKind::connection, "lost"});
    run();
    certificate_.identifiers.push_back({IdentifierKind::dns, "example.test"});
    clock_.advance(1min);
    restart();
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(1U, ca().count("abandon"));
  }

  void a_start_tries_again_what_the_configuration_had_wrong() {
    ca().fail_next("place", {ErrorKind::configuration, "the binding is wrong"});
    const auto again = run();
    CPPUNIT_ASSERT(again && *again >= clock_.now() + 23h);
    restart();
    live(1min);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  void what_would_take_a_name_off_tls_is_kept_until_another_has_it() {
    std::size_t told = 0;
    events_.subscribe([&](const Event& event) { told += event.name == "issued_waits" ? 1 : 0; });
    lent_ = "moved.example.test";
    for (int looks = 0; looks < 3; ++looks) {
      const auto again = run();
      CPPUNIT_ASSERT(again && *again <= clock_.now() + 1s);
      clock_.advance(1s);
    }
    CPPUNIT_ASSERT(published_.empty() && renewal_->view().waits_for_begin);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, told);
    restart();
    run();
    CPPUNIT_ASSERT(published_.empty());
    lent_.reset();
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
  }

  void who_forces_a_renewal_does_not_wait_for_others() {
    lent_ = "moved.example.test";
    run();
    CPPUNIT_ASSERT(published_.empty());
    CPPUNIT_ASSERT(!renewal_->request(true));
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(RenewalTest);

}  // namespace
}  // namespace evercert
