#include <cppunit/extensions/HelperMacros.h>

#include "agent/renewal/backoff.h"
#include "agent/renewal/budget.h"
#include "agent/renewal/pace.h"
#include "agent/renewal/polling.h"
#include "agent/renewal/schedule.h"
#include "fake/state_directory.h"

namespace evercert {
namespace {

using namespace std::chrono_literals;

const Time start = Time(std::chrono::hours(500'000));

class ScheduleTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(ScheduleTest);
  CPPUNIT_TEST(ninety_days_are_renewed_at_day_sixty_or_a_little_earlier);
  CPPUNIT_TEST(under_ten_days_half_of_the_life_is_enough);
  CPPUNIT_TEST(the_jitter_is_the_same_each_time_and_differs_between_names);
  CPPUNIT_TEST(the_last_twentieth_is_an_emergency);
  CPPUNIT_TEST(the_least_remaining_share_goes_first_and_new_names_before_far_off_renewals);
  CPPUNIT_TEST(the_guard_forbids_an_hour_after_a_success);
  CPPUNIT_TEST(the_guard_allows_three_in_a_day);
  CPPUNIT_TEST(where_nothing_is_installed_only_three_in_a_day_are_guarded);
  CPPUNIT_TEST(the_guard_never_keeps_a_short_lived_certificate_from_being_renewed);
  CPPUNIT_TEST(the_guard_ends_well_before_what_came_late);
  CPPUNIT_TEST(the_guard_is_not_undone_by_a_clock_that_was_ahead);
  CPPUNIT_TEST(the_pace_is_found_again_after_a_restart);
  CPPUNIT_TEST_SUITE_END();

 public:
  void ninety_days_are_renewed_at_day_sixty_or_a_little_earlier() {
    const Lifetime life{start, start + 90 * 24h};
    const Time due = due_time(life, "a.test", 1);
    CPPUNIT_ASSERT(due <= start + 60 * 24h);
    CPPUNIT_ASSERT(due >= start + 60 * 24h - 44h);
  }
  void under_ten_days_half_of_the_life_is_enough() {
    const Lifetime life{start, start + 160h};
    const Time due = due_time(life, "a.test", 1);
    CPPUNIT_ASSERT(due <= start + 80h && due >= start + 76h);
  }
  void the_jitter_is_the_same_each_time_and_differs_between_names() {
    const Lifetime life{start, start + 90 * 24h};
    CPPUNIT_ASSERT(due_time(life, "a.test", 1) == due_time(life, "a.test", 1));
    CPPUNIT_ASSERT(due_time(life, "a.test", 1) != due_time(life, "b.test", 1));
    CPPUNIT_ASSERT(due_time(life, "a.test", 1) != due_time(life, "a.test", 2));
  }
  void the_last_twentieth_is_an_emergency() {
    const Lifetime life{start, start + 100h};
    CPPUNIT_ASSERT(!is_emergency(life, start + 94h));
    CPPUNIT_ASSERT(is_emergency(life, start + 96h));
    CPPUNIT_ASSERT(is_emergency(life, start + 200h));
  }
  void the_least_remaining_share_goes_first_and_new_names_before_far_off_renewals() {
    const Lifetime life{start, start + 100h};
    const double expired = urgency(life, start + 101h);
    const double fresh = urgency(std::nullopt, start);
    const double due = urgency(life, start + 70h);
    CPPUNIT_ASSERT(expired < fresh && fresh < due);
    CPPUNIT_ASSERT(urgency(life, start + 80h) < due);
  }
  void the_guard_forbids_an_hour_after_a_success() {
    const std::vector<Issue> issues{{start, 24h * 10}};
    CPPUNIT_ASSERT(guarded_until(issues, start + 59min, start + 24h * 10).has_value());
    CPPUNIT_ASSERT(*guarded_until(issues, start + 59min, start + 24h * 10) == start + 4h + 48min);
    CPPUNIT_ASSERT(!guarded_until(issues, start + 5h, start + 24h * 10));
    CPPUNIT_ASSERT(!guarded_until({}, start, start));
  }
  void the_guard_allows_three_in_a_day() {
    const std::vector<Issue> issues{{start, 24h * 2}, {start + 2h, 24h * 2}, {start + 4h, 24h * 2}};
    const auto until = guarded_until(issues, start + 8h, start + 24h * 2);
    CPPUNIT_ASSERT(until && *until == start + 24h);
    CPPUNIT_ASSERT(!guarded_until(issues, start + 25h, start + 24h * 2));
  }
  void where_nothing_is_installed_only_three_in_a_day_are_guarded() {
    std::vector<Issue> issues{{start, 24h * 90}, {start + 1min, 24h * 90}};
    CPPUNIT_ASSERT(guarded_until(issues, start + 2min, start + 24h * 90).has_value());
    CPPUNIT_ASSERT(!guarded_until(issues, start + 2min, std::nullopt));
    issues.push_back({start + 2min, 24h * 90});
    const auto until = guarded_until(issues, start + 3min, std::nullopt);
    CPPUNIT_ASSERT(until && *until == start + 24h);
  }
  void the_guard_never_keeps_a_short_lived_certificate_from_being_renewed() {
    const std::vector<Issue> issues{{start, 600s}};
    CPPUNIT_ASSERT(guarded_until(issues, start + 100s, start + 600s).has_value());
    CPPUNIT_ASSERT(!guarded_until(issues, start + 151s, start + 600s));
  }
  void the_guard_ends_well_before_what_came_late() {
    const std::vector<Issue> issues{{start, 24h * 90}};
    CPPUNIT_ASSERT(guarded_until(issues, start + 1h, start + 8h) == start + 2h);
    CPPUNIT_ASSERT(!guarded_until(issues, start + 121min, start + 8h));
    // That was the one before.
    CPPUNIT_ASSERT(guarded_until(issues, start, start - 1h) == start + 43h + 12min);
  }
  void the_guard_is_not_undone_by_a_clock_that_was_ahead() {
    const std::vector<Issue> issues{{start + 24h * 300, 24h * 90}, {start, 24h * 90}};
    CPPUNIT_ASSERT(guarded_until(issues, start + 1h, start + 24h * 90) == start + 43h + 12min);
    CPPUNIT_ASSERT(!guarded_until({issues.front()}, start + 1h, start + 24h * 90));
  }
  void the_pace_is_found_again_after_a_restart() {
    const StateDirectory state;
    Pace pace;
    pace.next_attempt = start + 5h;
    pace.failure = Pace::Failure{ErrorKind::challenge_failed, "nobody answered", start, 4};
    const std::vector<Identifier> names{{IdentifierKind::dns, "a.test"}};
    pace.remember_issue(names, {start, 3600s});
    {
      PaceRecords records(state.store(), state.keys().agent);
      CPPUNIT_ASSERT(records.save("a.test", KeyAlgorithm::rsa, pace).has_value());
    }
    const auto store = state.another_store();
    PaceRecords records(*store, state.keys().agent);
    const Pace again = records.load("a.test", KeyAlgorithm::rsa);
    CPPUNIT_ASSERT(again.next_attempt == pace.next_attempt);
    CPPUNIT_ASSERT(again.failure && again.failure->in_a_row == 4 && again.failure->kind == ErrorKind::challenge_failed);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, again.issues_for(names).size());
    CPPUNIT_ASSERT(again.issues_for({{IdentifierKind::dns, "b.test"}}).empty());
    CPPUNIT_ASSERT(!records.load("a.test", KeyAlgorithm::ecdsa).failure);
  }
};

class BackoffTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(BackoffTest);
  CPPUNIT_TEST(each_row_of_the_table_is_as_written);
  CPPUNIT_TEST(connections_are_jittered_by_half);
  CPPUNIT_TEST(a_rate_limit_waits_exactly_as_long_as_asked_and_a_little);
  CPPUNIT_TEST(a_caa_failure_waits_an_hour_at_least);
  CPPUNIT_TEST(an_emergency_shortens_the_pause);
  CPPUNIT_TEST(the_peers_own_wish_lengthens_the_pause);
  CPPUNIT_TEST(no_wish_of_a_peer_makes_a_pause_vanish_or_last_for_years);
  CPPUNIT_TEST_SUITE_END();

 public:
  void each_row_of_the_table_is_as_written() {
    struct Row {
      ErrorKind kind;
      std::vector<std::chrono::seconds> pauses;
    };
    const std::vector<Row> rows{
        {ErrorKind::challenge_failed, {5s, 1min, 15min, 1h, 3h, 6h, 24h, 24h}},
        {ErrorKind::connection, {5s, 15s, 30s, 1min, 2min, 5min, 10min, 20min, 30min, 30min}},
        {ErrorKind::issuer_refused, {1min, 10min, 100min, 6h, 24h, 24h}},
        {ErrorKind::internal, {1min, 10min, 100min, 6h, 24h}},
        {ErrorKind::storage, {5s, 15s, 30s, 1min, 2min, 5min, 5min}},
        {ErrorKind::key_provider, {5s, 15s, 30s, 1min, 2min, 5min}},
        {ErrorKind::rate_limited, {1h, 1h}},
        {ErrorKind::action_required, {24h, 24h}},
        {ErrorKind::configuration, {24h, 24h}},
    };
    for (const auto& row : rows) {
      const double middle = row.kind == ErrorKind::connection ? 0.5 : 0.0;
      for (std::size_t i = 0; i < row.pauses.size(); ++i) {
        const Error error{row.kind, ""};
        const auto pause = backoff_pause({error, static_cast<unsigned>(i + 1), 0, false, middle});
        CPPUNIT_ASSERT_EQUAL_MESSAGE(to_string(row.kind), std::chrono::milliseconds(row.pauses[i]).count(), pause.count());
      }
    }
  }
  void connections_are_jittered_by_half() {
    const Error lost{ErrorKind::connection, ""};
    CPPUNIT_ASSERT(backoff_pause({lost, 1, 0, false, 0.0}) == 2500ms);
    CPPUNIT_ASSERT(backoff_pause({lost, 1, 0, false, 1.0}) == 7500ms);
    CPPUNIT_ASSERT(backoff_pause({lost, 20, 0.9, false, 0.5}) == 1h);
  }
  void a_rate_limit_waits_exactly_as_long_as_asked_and_a_little() {
    const Error limited{ErrorKind::rate_limited, "", 100s};
    CPPUNIT_ASSERT(backoff_pause({limited, 1, 0, true, 0.0}) == 100s);
    CPPUNIT_ASSERT(backoff_pause({limited, 1, 0, true, 1.0}) == 110s);
  }
  void a_caa_failure_waits_an_hour_at_least() {
    auto problem = std::make_shared<Problem>();
    problem->type = "urn:ietf:params:acme:error:caa";
    Error error{ErrorKind::challenge_failed, ""};
    error.problem = problem;
    CPPUNIT_ASSERT(backoff_pause({error, 1, 0, false, 0.0}) == 1h);
  }
  void an_emergency_shortens_the_pause() {
    const Error failed{ErrorKind::challenge_failed, ""};
    CPPUNIT_ASSERT(backoff_pause({failed, 7, 0.01, true, 0.0}) == 20min);
  }
  void the_peers_own_wish_lengthens_the_pause() {
    const Error lost{ErrorKind::connection, "", 90s};
    CPPUNIT_ASSERT(backoff_pause({lost, 1, 0, false, 0.5}) == 90s);
  }
  void no_wish_of_a_peer_makes_a_pause_vanish_or_last_for_years() {
    for (const auto kind : {ErrorKind::rate_limited, ErrorKind::connection, ErrorKind::issuer_refused}) {
      for (const auto wish : {-5s, 0s, 1s, std::chrono::seconds(99999999)}) {
        const Error error{kind, "", wish};
        std::chrono::milliseconds hour{0};
        unsigned tries = 0;
        while (hour < 1h) hour += backoff_pause({error, ++tries, 0, false, 0.0});
        CPPUNIT_ASSERT_MESSAGE(std::to_string(tries), tries <= 70);
        CPPUNIT_ASSERT(backoff_pause({error, 1, 0, false, 1.0}) <= 27h);
      }
    }
  }
};

class BudgetTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(BudgetTest);
  CPPUNIT_TEST(no_more_orders_than_allowed_and_the_most_urgent_comes_next);
  CPPUNIT_TEST(a_place_is_kept_for_who_was_named);
  CPPUNIT_TEST(five_lost_connections_in_a_minute_open_the_breaker);
  CPPUNIT_TEST(one_job_probes_for_all_and_its_success_calls_the_others);
  CPPUNIT_TEST(a_ca_that_cannot_be_reached_opens_the_breaker_at_once);
  CPPUNIT_TEST(a_ca_that_is_silent_twice_opens_the_breaker);
  CPPUNIT_TEST(a_probe_that_is_not_made_is_passed_on);
  CPPUNIT_TEST(a_ca_that_comes_and_goes_is_probed_more_rarely);
  CPPUNIT_TEST_SUITE_END();

 public:
  void no_more_orders_than_allowed_and_the_most_urgent_comes_next() {
    Budget budget(2);
    CPPUNIT_ASSERT(budget.take("a", 0.5) && budget.take("b", 0.5));
    CPPUNIT_ASSERT(budget.take("a", 0.5));
    CPPUNIT_ASSERT(!budget.take("c", 0.3) && !budget.take("d", 0.1));
    CPPUNIT_ASSERT(budget.release("a") == std::optional<std::string>("d"));
    CPPUNIT_ASSERT(budget.release("b") == std::optional<std::string>("c"));
    CPPUNIT_ASSERT(!budget.release("c"));
  }
  void a_place_is_kept_for_who_was_named() {
    Budget budget(1);
    CPPUNIT_ASSERT(budget.take("a", 0.5) && !budget.take("b", 0.5));
    CPPUNIT_ASSERT(budget.release("a") == std::optional<std::string>("b"));
    CPPUNIT_ASSERT(!budget.take("late", 0.0));
    CPPUNIT_ASSERT(budget.take("b", 0.5));
    CPPUNIT_ASSERT(budget.forget("b") == std::optional<std::string>("late"));
  }
  void five_lost_connections_in_a_minute_open_the_breaker() {
    Budget budget(16);
    for (int i = 0; i < 4; ++i) CPPUNIT_ASSERT(!budget.failed("a", start + i * 20s, 0.5));
    CPPUNIT_ASSERT(!budget.is_open());
    CPPUNIT_ASSERT(!budget.failed("a", start + 80s, 0.5));
    CPPUNIT_ASSERT(!budget.failed("a", start + 81s, 0.5));
    CPPUNIT_ASSERT(budget.failed("a", start + 82s, 0.5));
    CPPUNIT_ASSERT(budget.is_open());
  }
  void one_job_probes_for_all_and_its_success_calls_the_others() {
    Budget budget(16);
    for (int i = 0; i < 5; ++i) static_cast<void>(budget.failed("a", start, 0.5));
    CPPUNIT_ASSERT(budget.blocked_until("a", start) == std::optional<Time>(start + 1s));
    CPPUNIT_ASSERT(budget.blocked_until("b", start).has_value());
    CPPUNIT_ASSERT(!budget.blocked_until("b", start + 1s));
    CPPUNIT_ASSERT(budget.blocked_until("a", start + 1s).has_value());
    CPPUNIT_ASSERT(!budget.failed("b", start + 2s, 0.5));
    CPPUNIT_ASSERT(budget.blocked_until("a", start + 3s) == std::optional<Time>(start + 4s));
    CPPUNIT_ASSERT(!budget.blocked_until("a", start + 4s));
    const auto back = budget.succeeded("a", start + 4s);
    CPPUNIT_ASSERT(back.closed_now && !budget.is_open());
    CPPUNIT_ASSERT(back.waiting == std::vector<std::string>{"b"});
    CPPUNIT_ASSERT(!budget.succeeded("a", start + 4s).closed_now);
  }
  void a_ca_that_cannot_be_reached_opens_the_breaker_at_once() {
    Budget budget(16);
    CPPUNIT_ASSERT(budget.failed("a", start, 0.5, Budget::Failure::unreachable));
    CPPUNIT_ASSERT(!budget.failed("b", start, 0.5, Budget::Failure::unreachable));
    CPPUNIT_ASSERT(budget.next_probe() == std::optional<Time>(start + 1s));
    CPPUNIT_ASSERT(!budget.blocked_until("a", start + 1s));
    CPPUNIT_ASSERT(budget.succeeded("a", start + 1s).waiting == std::vector<std::string>{"b"});
  }
  void a_ca_that_is_silent_twice_opens_the_breaker() {
    using enum Budget::Failure;
    Budget budget(16);
    CPPUNIT_ASSERT(!budget.failed("a", start, 0.5, silence));
    static_cast<void>(budget.succeeded("b", start + 1s));
    CPPUNIT_ASSERT(!budget.failed("a", start + 90s, 0.5, silence));
    CPPUNIT_ASSERT(!budget.failed("a", start + 90s + 6min, 0.5, silence));
    CPPUNIT_ASSERT(budget.failed("a", start + 90s + 8min, 0.5, silence));
    CPPUNIT_ASSERT(budget.is_open());
  }
  void a_probe_that_is_not_made_is_passed_on() {
    Budget budget(16);
    CPPUNIT_ASSERT(budget.failed("a", start, 0.5, Budget::Failure::unreachable));
    CPPUNIT_ASSERT(!budget.blocked_until("a", start + 1s));
    budget.pass("a", start + 1s);
    CPPUNIT_ASSERT(!budget.blocked_until("b", start + 1s));
  }
  void a_ca_that_comes_and_goes_is_probed_more_rarely() {
    Budget budget(16);
    CPPUNIT_ASSERT(budget.failed("a", start, 0.5, Budget::Failure::unreachable));
    static_cast<void>(budget.succeeded("a", start + 1s));
    CPPUNIT_ASSERT(budget.failed("a", start + 2s, 0.5, Budget::Failure::unreachable));
    CPPUNIT_ASSERT(budget.next_probe() == std::optional<Time>(start + 4s));
    static_cast<void>(budget.succeeded("a", start + 4s));
    CPPUNIT_ASSERT(budget.failed("a", start + 2min, 0.5, Budget::Failure::unreachable));
    CPPUNIT_ASSERT(budget.next_probe() == std::optional<Time>(start + 2min + 1s));
  }
};

class PollingTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(PollingTest);
  CPPUNIT_TEST(without_any_sign_the_pauses_widen);
  CPPUNIT_TEST(the_last_hit_hastens_the_first_poll);
  CPPUNIT_TEST(the_expected_number_of_hits_hastens_it_more);
  CPPUNIT_TEST(a_wish_of_the_ca_is_obeyed_up_to_five_minutes);
  CPPUNIT_TEST(issuing_is_asked_for_in_milliseconds_first);
  CPPUNIT_TEST(after_two_minutes_patience_begins);
  CPPUNIT_TEST(people_are_asked_after_a_day_and_a_tenth_at_the_latest);
  CPPUNIT_TEST(a_wish_never_to_wait_is_bounded);
  CPPUNIT_TEST_SUITE_END();

 public:
  void without_any_sign_the_pauses_widen() {
    Polling polling;
    polling.begin(Polling::For::validation, 1, start);
    Time now = start;
    for (const auto pause : {250ms, 500ms, 1000ms, 2000ms, 3000ms, 5000ms, 5000ms}) {
      CPPUNIT_ASSERT_EQUAL(static_cast<std::int64_t>(pause.count()),
                           static_cast<std::int64_t>(
                               std::chrono::duration_cast<std::chrono::milliseconds>(polling.next({}, 0.5) - now).count()));
      now += pause;
      polling.polled(std::nullopt, now);
    }
  }
  void the_last_hit_hastens_the_first_poll() {
    Polling polling;
    polling.begin(Polling::For::validation, 1, start);
    polling.saw(1, start + 4ms);
    polling.saw(2, start + 9ms);
    CPPUNIT_ASSERT(polling.next({}, 0.5) == start + 29ms);
  }
  void the_expected_number_of_hits_hastens_it_more() {
    Polling polling;
    polling.begin(Polling::For::validation, 2, start);
    polling.saw(5, start + 4ms);
    CPPUNIT_ASSERT(polling.next({3}, 0.5) == start + 64ms);
    polling.saw(6, start + 9ms);
    CPPUNIT_ASSERT(polling.next({3}, 0.5) == start + 12ms);
  }
  void a_wish_of_the_ca_is_obeyed_up_to_five_minutes() {
    Polling polling;
    polling.begin(Polling::For::issuance, 1, start);
    polling.polled(7s, start);
    CPPUNIT_ASSERT(polling.next({}, 0.5) == start + 7s);
    polling.polled(3600s, start + 7s);
    CPPUNIT_ASSERT(polling.next({}, 0.5) == start + 7s + 5min);
  }
  void issuing_is_asked_for_in_milliseconds_first() {
    Polling polling;
    polling.begin(Polling::For::issuance, 1, start);
    CPPUNIT_ASSERT(polling.next({}, 0.5) == start + 5ms);
    polling.polled(std::nullopt, start + 5ms);
    CPPUNIT_ASSERT(polling.next({}, 0.5) == start + 15ms);
  }
  void after_two_minutes_patience_begins() {
    Polling polling;
    polling.begin(Polling::For::issuance, 1, start);
    Time now = start + 121s;
    polling.polled(std::nullopt, now);
    for (const auto pause : {1min, 2min, 5min, 10min, 10min}) {
      CPPUNIT_ASSERT(polling.next({}, 0.5) == now + pause);
      now += pause;
      polling.polled(std::nullopt, now);
    }
  }
  void people_are_asked_after_a_day_and_a_tenth_at_the_latest() {
    Polling polling;
    polling.begin(Polling::For::people, 1, start);
    const Time now = start + 25h;
    polling.polled(std::nullopt, now);
    CPPUNIT_ASSERT(polling.next({}, 0.5) == now + 24h);
    CPPUNIT_ASSERT(polling.next({}, 1) == now + 24h + 144min);
  }
  void a_wish_never_to_wait_is_bounded() {
    for (const auto what : {Polling::For::validation, Polling::For::issuance}) {
      Polling polling;
      polling.begin(what, 1, start);
      Time now = start;
      unsigned polls = 0;
      for (; now < start + 1h; ++polls) {
        polling.polled(0s, now);
        now = polling.next({}, 0.5);
      }
      CPPUNIT_ASSERT_MESSAGE(std::to_string(polls), polls < 200);
    }
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(ScheduleTest);
CPPUNIT_TEST_SUITE_REGISTRATION(BackoffTest);
CPPUNIT_TEST_SUITE_REGISTRATION(BudgetTest);
CPPUNIT_TEST_SUITE_REGISTRATION(PollingTest);

}  // namespace
}  // namespace evercert
