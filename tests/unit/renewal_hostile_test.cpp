// A CA that says whatever it likes: what it is asked stays few, and nothing that it issues takes the place of something better.
#include <algorithm>
#include <random>

#include "agent/net/http_client.h"
#include "renewal_ground.h"

namespace evercert {
namespace {

// Requests for one order line (one certificate and kind of key) in any hour, whatever the CA answers.
constexpr unsigned most_requests_an_hour = 300;

class HostileCaTest : public RenewalGround {
  CPPUNIT_TEST_SUITE(HostileCaTest);
  CPPUNIT_TEST(finalize_that_leaves_the_order_ready_is_asked_for_a_few_times_an_hour);
  CPPUNIT_TEST(states_that_go_to_and_fro_are_asked_for_a_few_times_an_hour);
  CPPUNIT_TEST(whatever_it_says_it_is_asked_a_few_times_an_hour);
  CPPUNIT_TEST(its_wish_never_to_wait_is_not_obeyed_for_ever);
  CPPUNIT_TEST(a_certificate_that_has_expired_never_replaces_a_good_one);
  CPPUNIT_TEST(a_certificate_that_ends_sooner_replaces_a_good_one_only_when_somebody_insists);
  CPPUNIT_TEST(what_a_paid_ca_issued_badly_is_never_bought_again);
  CPPUNIT_TEST(a_paid_certificate_that_is_not_handed_out_is_never_bought_again);
  CPPUNIT_TEST(a_pause_that_begins_as_the_clock_is_turned_back_is_not_shortened);
  CPPUNIT_TEST(a_certificate_that_is_not_valid_yet_is_kept_and_published_then);
  CPPUNIT_TEST(a_certificate_of_next_month_is_not_waited_for);
  CPPUNIT_TEST(a_clock_that_was_years_ahead_leaves_nothing_behind);
  CPPUNIT_TEST(a_clock_that_was_years_ahead_for_one_step_only_leaves_nothing_behind);
  CPPUNIT_TEST(a_try_that_had_come_by_a_clock_years_ahead_has_come);
  CPPUNIT_TEST(a_cancel_that_came_too_late_does_not_end_the_next_order);
  CPPUNIT_TEST(the_guard_does_not_outlast_what_is_about_to_end);
  CPPUNIT_TEST(a_publication_whose_record_was_not_closed_holds_up_no_other_names);
  CPPUNIT_TEST(nothing_is_ordered_while_it_is_not_known_what_is_open);
  CPPUNIT_TEST(a_record_of_nothing_that_was_placed_holds_nothing_up);
  CPPUNIT_TEST_SUITE_END();

 public:
  void finalize_that_leaves_the_order_ready_is_asked_for_a_few_times_an_hour() {
    ca().twist = [](const std::string& action, IssuerOrder& order) -> std::optional<Error> {
      if (action == "finalize") order.status = IssuerOrderStatus::ready;
      return std::nullopt;
    };
    const unsigned requests = requests_of_an_hour();
    CPPUNIT_ASSERT_MESSAGE(std::to_string(requests), requests < 30);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
  }

  void states_that_go_to_and_fro_are_asked_for_a_few_times_an_hour() {
    using enum IssuerOrderStatus;
    for (const auto& [one, other] : {std::pair(processing, ready), std::pair(processing, pending), std::pair(pending, ready),
                                     std::pair(processing, waiting_for_people), std::pair(ready, waiting_for_people)}) {
      unsigned turn = 0;
      ca().twist = [&, one = one, other = other](const std::string&, IssuerOrder& order) -> std::optional<Error> {
        order.status = ++turn % 2 == 0 ? one : other;
        order.retry_after = 0s;
        return std::nullopt;
      };
      restart();
      const unsigned requests = requests_of_an_hour();
      CPPUNIT_ASSERT_MESSAGE(std::string(to_string(one)) + " and " + to_string(other) + ": " + std::to_string(requests),
                             requests < most_requests_an_hour);
    }
  }

  void whatever_it_says_it_is_asked_a_few_times_an_hour() {
    for (unsigned seed = 1; seed <= 60; ++seed) {
      std::mt19937 dice(seed);
      const auto throw_of = [&](unsigned sides) { return static_cast<unsigned>(dice() % sides); };
      const unsigned errors_in_ten = throw_of(6);
      const std::vector<std::optional<std::chrono::seconds>> wishes{std::nullopt, 0s, 1s, 30s, std::chrono::seconds(99999999)};
      ca().twist = [&](const std::string&, IssuerOrder& order) -> std::optional<Error> {
        order.retry_after = wishes[throw_of(5)];
        if (throw_of(10) < errors_in_ten) {
          return Error{static_cast<ErrorKind>(throw_of(static_cast<unsigned>(ErrorKind::dns) + 1)), "so it says",
                       wishes[throw_of(5)]};
        }
        order.status = static_cast<IssuerOrderStatus>(throw_of(6));
        return std::nullopt;
      };
      restart();
      for (int hour = 0; hour < 3; ++hour) {
        const unsigned requests = requests_of_an_hour();
        CPPUNIT_ASSERT_MESSAGE("seed " + std::to_string(seed) + ": " + std::to_string(requests),
                               requests < most_requests_an_hour);
      }
      clock_.advance(48h);
    }
  }

  void its_wish_never_to_wait_is_not_obeyed_for_ever() {
    for (const auto wish : {0s, 1s, std::chrono::seconds(99999999)}) {
      Error refused{ErrorKind::rate_limited, "too many", wish};
      ca().always = &refused;
      restart();
      const unsigned requests = requests_of_an_hour();
      CPPUNIT_ASSERT_MESSAGE(std::to_string(requests), requests < 70);
      const auto next = renewal_->view().next;
      CPPUNIT_ASSERT(next && *next <= clock_.now() + 27h);
      ca().always = nullptr;
      clock_.advance(48h);
    }
  }

  void a_certificate_that_has_expired_never_replaces_a_good_one() {
    run_until_due();
    ca().lifetime = -1h;
    check_is_refused_and_asked_for("ended at");
    ca().lifetime = 24h * 90;
    clock_.advance(25h);
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, published_.size());
    CPPUNIT_ASSERT(!renewal_->view().failure);
  }

  void a_certificate_that_ends_sooner_replaces_a_good_one_only_when_somebody_insists() {
    run_until_due();
    ca().lifetime = 24h;
    check_is_refused_and_asked_for("sooner than the one that is served");
    CPPUNIT_ASSERT(!renewal_->request(false));
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT(!renewal_->request(true));
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, published_.size());
  }

  void what_a_paid_ca_issued_badly_is_never_bought_again() {
    IssuerSpec spec = ca().spec();
    spec.type = "certinext";
    issuers_["ca"] = std::make_shared<FakeIssuer>(spec, clock_);
    restart();
    run_until_due();
    for (const auto& [begins, lifetime] :
         {std::pair<std::chrono::hours, std::chrono::hours>(-2h, 1h), {-1h, 24h}, {2400h, 2400h}}) {
      ca().begins = begins;
      ca().lifetime = lifetime;
      const auto orders = ca().orders();
      for (int day = 0; day < 8; ++day) {
        run();
        restart();
        run();
        clock_.advance(13h);
      }
      CPPUNIT_ASSERT_EQUAL(orders + 1, ca().orders());
      CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
      CPPUNIT_ASSERT(renewal_->view().failure && renewal_->view().failure->kind == ErrorKind::action_required);
      CPPUNIT_ASSERT(renewal_->view().order && is_open(*renewal_->view().order));
      CPPUNIT_ASSERT(!renewal_->cancel());
      run();
      CPPUNIT_ASSERT(!renewal_->view().order);
      CPPUNIT_ASSERT(!renewal_->request(false));
    }
  }

  void a_paid_certificate_that_is_not_handed_out_is_never_bought_again() {
    IssuerSpec spec = ca().spec();
    spec.type = "certinext";
    issuers_["ca"] = std::make_shared<FakeIssuer>(spec, clock_);
    certificate_.issuers = {"ca", "other"};
    restart();
    for (const ErrorKind kind : {ErrorKind::issuer_refused, ErrorKind::challenge_failed})
      ca().fail_next("collect", {kind, "it says no"});
    run();
    CPPUNIT_ASSERT(renewal_->view().failure && renewal_->view().failure->kind == ErrorKind::action_required);
    CPPUNIT_ASSERT(renewal_->view().failure->message.find("paid for") != std::string::npos);
    restart();
    live(24h * 4);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{0}, issuers_.at("other")->orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  void a_pause_that_begins_as_the_clock_is_turned_back_is_not_shortened() {
    ca().fail_next("place", {ErrorKind::rate_limited, "too many", 1h});
    ca().witness = [&](const std::string& action, bool) {
      if (action == "place") clock_.advance(-41min);
    };
    run();
    ca().witness = nullptr;
    const Time turned = clock_.now();
    const auto again = run();
    CPPUNIT_ASSERT(again && *again >= turned + 1h);
    clock_.advance(50min);
    run();
    CPPUNIT_ASSERT_EQUAL(1U, ca().count("place"));
    live(1h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  void a_certificate_that_is_not_valid_yet_is_kept_and_published_then() {
    for (const char* type : {"acme", "certinext"}) {
      IssuerSpec spec = ca().spec();
      spec.type = type;
      issuers_["ca"] = std::make_shared<FakeIssuer>(spec, clock_);
      const auto before = published_.size();
      current_.reset();
      ca().begins = 5h;
      certificate_.name = std::string(type) + ".example.test";
      restart();
      const Time good = clock_.now() + 5h;
      auto again = run();
      for (int look = 0; clock_.now() < good - 10min; ++look) {
        CPPUNIT_ASSERT(again && *again <= clock_.now() + 1h && look < 20);
        CPPUNIT_ASSERT(renewal_->view().waits_for_begin && !renewal_->view().failure);
        CPPUNIT_ASSERT_EQUAL(before, published_.size());
        clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(*again - clock_.now()));
        if (look == 2) restart();
        again = run();
      }
      CPPUNIT_ASSERT_EQUAL(before + 1, published_.size());
      CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
      CPPUNIT_ASSERT_EQUAL(1U, ca().count("collect"));
      CPPUNIT_ASSERT(!renewal_->view().waits_for_begin);
    }
  }

  void a_certificate_of_next_month_is_not_waited_for() {
    run_until_due();
    ca().begins = 24h * 30;
    check_is_refused_and_asked_for("too far ahead");
  }

  void a_clock_that_was_years_ahead_leaves_nothing_behind() {
    const auto due = run();
    CPPUNIT_ASSERT(due);
    constexpr auto years = 24h * 3650;
    clock_.advance(years);
    // The CA knows what time it is.
    ca().begins = -years;
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    Error gone{ErrorKind::connection, "nobody there", std::nullopt,
               std::make_shared<const Problem>(Problem{server_unreachable, "", "", {}})};
    ca().always = &gone;
    run();
    clock_.advance(1h);
    run();
    ca().always = nullptr;
    ca().begins = -60s;
    for (const bool starts_anew : {false, true}) {
      clock_.advance(-years);
      if (starts_anew) restart();
      CPPUNIT_ASSERT(run() == due);
      CPPUNIT_ASSERT(!renewal_->view().failure && !renewal_->view().order);
      CPPUNIT_ASSERT(renewal_->view().next == due);
      clock_.advance(years);
    }
    clock_.advance(-years);
    run();
    clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(*due - clock_.now()) + 27h);
    live(1min);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, published_.size());
  }

  void a_clock_that_was_years_ahead_for_one_step_only_leaves_nothing_behind() {
    constexpr auto years = 24h * 3650;
    ca().fail_next("challenges", {ErrorKind::connection, "no answer"});
    bool turned = false;
    ca().witness = [&](const std::string& action, bool) {
      if (action == "challenges" && !std::exchange(turned, true)) clock_.advance(years);
    };
    run();
    CPPUNIT_ASSERT(turned && published_.empty());
    clock_.advance(-years);
    const auto next = run();
    CPPUNIT_ASSERT(next && *next <= clock_.now() + 1h);
    clock_.advance(1h);
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  void a_try_that_had_come_by_a_clock_years_ahead_has_come() {
    constexpr auto years = 24h * 3650;
    ca().fail_next("challenges", {ErrorKind::connection, "no answer"});
    clock_.advance(years);
    const auto next = run();
    CPPUNIT_ASSERT(next && published_.empty());
    clock_.advance(1h);
    // Another order probes, so that this one waits on although its time has come.
    CPPUNIT_ASSERT(budgets_["ca"]->failed("other", clock_.now(), 0.5, Budget::Failure::unreachable));
    clock_.advance(1h);
    CPPUNIT_ASSERT(!budgets_["ca"]->blocked_until("other", clock_.now()));
    CPPUNIT_ASSERT(run() && published_.empty());
    clock_.advance(-years);
    const auto after = run();
    CPPUNIT_ASSERT(after && *after <= clock_.now() + 1h);
  }

  void a_cancel_that_came_too_late_does_not_end_the_next_order() {
    ca().witness = [&](const std::string& action, bool after) {
      if (action == "collect" && after) CPPUNIT_ASSERT(!renewal_->cancel());
    };
    const auto due = run();
    ca().witness = nullptr;
    CPPUNIT_ASSERT(due);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(*due - clock_.now()) + 1s);
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, published_.size());
    CPPUNIT_ASSERT_EQUAL(0U, ca().count("abandon"));
  }

  void the_guard_does_not_outlast_what_is_about_to_end() {
    // What is issued ends within the days for which the guard would hold the next one back.
    ca().begins = -24h * 90 + 8h;
    ca().witness = [&](const std::string& action, bool after) {
      if (action == "finalize" && after) ca().begins = -60s;
    };
    const auto again = run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT(again && *again <= clock_.now() + 2h);
    clock_.advance(2h);
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, published_.size());
    CPPUNIT_ASSERT(current_->lifetime.not_after > clock_.now() + 24h * 80);
  }

  void a_publication_whose_record_was_not_closed_holds_up_no_other_names() {
    die_after_publishing_ = true;
    CPPUNIT_ASSERT_THROW(run(), std::runtime_error);
    certificate_.identifiers.push_back({IdentifierKind::dns, "example.test"});
    current_->covers = false;
    restart();
    live(1min);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, published_.size());
  }

  void nothing_is_ordered_while_it_is_not_known_what_is_open() {
    left_orders_fail_ = true;
    restart();
    const auto again = run();
    CPPUNIT_ASSERT(again && *again <= clock_.now() + 10s);
    CPPUNIT_ASSERT_EQUAL(std::size_t{0}, ca().orders());
    CPPUNIT_ASSERT(renewal_->view().now.find("the disk fails") != std::string::npos);
    left_orders_fail_ = false;
    clock_.advance(10s);
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  void a_record_of_nothing_that_was_placed_holds_nothing_up() {
    ca().fail_next("place", {ErrorKind::rate_limited, "too many", 1h});
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{0}, ca().orders());
    restart();
    const auto again = run();
    // The pause is not shortened by looking.
    CPPUNIT_ASSERT(again && *again > clock_.now() + 50min);
    CPPUNIT_ASSERT_EQUAL(0U, ca().count("find"));
    live(3h);
    // Whoever placed it may have been killed a moment before: it is looked for twice.
    CPPUNIT_ASSERT_EQUAL(2U, ca().count("find"));
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

 private:
  // The first certificate is there, and two thirds of its life are over.
  void run_until_due() {
    const auto due = run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(*due - clock_.now()) + 1s);
  }

  // One repetition after a minute, then a person, and one order a day.
  void check_is_refused_and_asked_for(const std::string& why) {
    const auto orders = ca().orders();
    auto again = run();
    CPPUNIT_ASSERT(again && *again >= clock_.now() + 1min && *again <= clock_.now() + 2min);
    CPPUNIT_ASSERT(renewal_->view().failure && renewal_->view().failure->kind == ErrorKind::issuer_refused);
    clock_.advance(2min);
    restart();
    again = run();
    CPPUNIT_ASSERT_EQUAL(orders + 2, ca().orders());
    CPPUNIT_ASSERT(again && *again >= clock_.now() + 24h);
    const auto failure = renewal_->view().failure;
    CPPUNIT_ASSERT(failure && failure->kind == ErrorKind::action_required);
    CPPUNIT_ASSERT_MESSAGE(failure->message, failure->message.find(why) != std::string::npos);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  unsigned requests_so_far() {
    unsigned requests = 0;
    for (const char* action : {"place", "find", "challenges", "respond", "refresh", "finalize", "collect", "abandon"}) {
      requests += ca().count(action);
    }
    return requests;
  }

  // What the CA is asked while the clock goes on for an hour.
  unsigned requests_of_an_hour() {
    const unsigned before = requests_so_far();
    const Time begun = clock_.now();
    while (clock_.now() < begun + 1h) {
      const auto again = renewal_->run();
      if (requests_so_far() - before > 10 * most_requests_an_hour) break;
      const Time at = std::min(again.at.value_or(begun + 1h), begun + 1h);
      if (at > clock_.now()) clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(at - clock_.now()));
    }
    return requests_so_far() - before;
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(HostileCaTest);

}  // namespace
}  // namespace evercert
