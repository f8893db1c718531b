#include <cppunit/extensions/HelperMacros.h>

#include "agent/net/http_client.h"
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
  CPPUNIT_TEST(the_next_issuer_is_asked_after_three_failed_orders);
  CPPUNIT_TEST(the_next_issuer_is_asked_when_one_cannot_be_reached);
  CPPUNIT_TEST(an_order_that_may_be_known_stays_with_its_issuer);
  CPPUNIT_TEST(a_start_tries_again_what_the_configuration_had_wrong);
  CPPUNIT_TEST(a_request_that_comes_while_one_is_published_is_not_forgotten);
  CPPUNIT_TEST(what_a_ca_issues_wrongly_is_not_published_and_not_asked_for_at_once);
  CPPUNIT_TEST(people_are_waited_for_over_days_and_told_once_a_day);
  CPPUNIT_TEST(who_asks_is_told_again_what_people_must_do);
  CPPUNIT_TEST(once_people_have_acted_the_ca_is_asked_soon_again);
  CPPUNIT_TEST(a_rejected_order_is_not_placed_again_before_somebody_asks);
  CPPUNIT_TEST(what_comes_by_itself_is_waited_for_and_is_no_failure);
  CPPUNIT_TEST(what_does_not_come_for_long_is_a_failure);
  CPPUNIT_TEST(an_order_that_waits_for_its_turn_has_not_failed_and_keeps_its_key);
  CPPUNIT_TEST(an_issuer_that_needs_a_person_is_left_at_once_until_the_next_renewal);
  CPPUNIT_TEST(the_pause_of_each_issuer_is_its_own);
  CPPUNIT_TEST(a_cancelled_order_is_given_up_and_not_placed_again_before_somebody_asks);
  CPPUNIT_TEST(what_a_commercial_ca_issued_wrongly_is_not_ordered_again);
  CPPUNIT_TEST(an_order_that_was_placed_elsewhere_is_carried_on_and_none_is_placed);
  CPPUNIT_TEST(an_order_is_not_taken_over_beside_one_that_is_open);
  CPPUNIT_TEST(a_corrected_option_ends_the_wait_for_a_person_at_the_next_start);
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

  void the_next_issuer_is_asked_after_three_failed_orders() {
    certificate_.issuers = {"ca", "other"};
    restart();
    ca().validation_fails = true;
    for (int i = 0; i < 4; ++i) {
      run();
      clock_.advance(10min);
    }
    CPPUNIT_ASSERT_EQUAL(std::size_t{3}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, issuers_.at("other")->orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  void the_next_issuer_is_asked_when_one_cannot_be_reached() {
    certificate_.issuers = {"ca", "other"};
    restart();
    const auto problem = std::make_shared<const Problem>(Problem{server_unreachable, "", "", {}});
    for (int i = 0; i < 3; ++i) {
      ca().fail_next("place", {ErrorKind::connection, "nobody there", std::nullopt, problem});
      run();
      clock_.advance(10min);
    }
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{0}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, issuers_.at("other")->orders());
  }

  void an_order_that_may_be_known_stays_with_its_issuer() {
    certificate_.issuers = {"ca", "other"};
    restart();
    const auto problem = std::make_shared<const Problem>(Problem{server_unreachable, "", "", {}});
    ca().fail_next("place", {ErrorKind::connection, "lost"}, true);
    for (int i = 0; i < 5; ++i) {
      ca().fail_next("find", {ErrorKind::connection, "nobody there", std::nullopt, problem});
      run();
      clock_.advance(10min);
    }
    run();
    clock_.advance(10min);
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{0}, issuers_.at("other")->orders());
  }

  void a_start_tries_again_what_the_configuration_had_wrong() {
    ca().fail_next("place", {ErrorKind::configuration, "the binding is wrong"});
    const auto again = run();
    CPPUNIT_ASSERT(again && *again >= clock_.now() + 23h);
    restart();
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  void what_a_ca_issues_wrongly_is_not_published_and_not_asked_for_at_once() {
    publication_fails_ = Error{ErrorKind::issuer_refused, "the certificate does not fit its key"};
    const auto again = run();
    CPPUNIT_ASSERT(again && *again >= clock_.now() + 1min);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
  }

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
    run();
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

  void an_issuer_that_needs_a_person_is_left_at_once_until_the_next_renewal() {
    certificate_.issuers = {"ca", "other"};
    restart();
    ca().fail_next("place", {ErrorKind::action_required, "the account is empty"});
    const auto again = run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{0}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, issuers_.at("other")->orders());
    CPPUNIT_ASSERT(renewal_->view().set_aside.empty());
    clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(*again - clock_.now()));
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
  }

  void the_pause_of_each_issuer_is_its_own() {
    certificate_.issuers = {"ca", "other"};
    restart();
    Error limited{ErrorKind::rate_limited, "too many"};
    limited.retry_after = 3600s;
    ca().fail_next("place", limited);
    limited.retry_after = 7200s;
    issuers_.at("other")->fail_next("place", limited);
    const auto again = run();
    CPPUNIT_ASSERT(again && *again >= clock_.now() + 3590s && *again < clock_.now() + 2h);
    const auto left = renewal_->view().set_aside;
    CPPUNIT_ASSERT(left.size() == 1 && left.contains("other"));
    CPPUNIT_ASSERT(left.at("other").failure->message == "too many" && left.at("other").next_attempt >= clock_.now() + 7190s);
    restart();
    clock_.advance(2h);
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{0}, issuers_.at("other")->orders());
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

  void what_a_commercial_ca_issued_wrongly_is_not_ordered_again() {
    IssuerSpec spec = ca().spec();
    spec.type = "certinext";
    issuers_["ca"] = std::make_shared<FakeIssuer>(spec, clock_);
    restart();
    publication_fails_ = Error{ErrorKind::issuer_refused, "a name is missing"};
    const auto again = run();
    CPPUNIT_ASSERT(again && *again >= clock_.now() + 23h);
    CPPUNIT_ASSERT(renewal_->view().failure && renewal_->view().failure->kind == ErrorKind::action_required);
    publication_fails_.reset();
    CPPUNIT_ASSERT(!renewal_->request(false));
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
  }

  void an_order_that_was_placed_elsewhere_is_carried_on_and_none_is_placed() {
    IssuerSpec spec = ca().spec();
    spec.orders = false;
    issuers_["ca"] = std::make_shared<FakeIssuer>(spec, clock_);
    restart();
    CPPUNIT_ASSERT(!run());
    CPPUNIT_ASSERT_EQUAL(std::size_t{0}, ca().orders());
    OrderRecord record = placed_elsewhere();
    CPPUNIT_ASSERT(!renewal_->take_over(record));
    CPPUNIT_ASSERT(renewal_->take_over(record).has_value());
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT(std::ranges::equal(record.private_key.view(), published_.front().view()));
  }

  void an_order_is_not_taken_over_beside_one_that_is_open() {
    ca().people_wanted = true;
    run();
    CPPUNIT_ASSERT(renewal_->take_over(placed_elsewhere()).has_value());
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
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(RenewalTest);

}  // namespace
}  // namespace evercert
