// Which issuer is asked, and what becomes of an order that is wrong or was placed elsewhere.
#include <cppunit/extensions/HelperMacros.h>

#include "agent/net/http_client.h"
#include "renewal_ground.h"

namespace evercert {
namespace {

using namespace std::chrono_literals;

class RenewalIssuersTest : public RenewalGround {
  CPPUNIT_TEST_SUITE(RenewalIssuersTest);
  CPPUNIT_TEST(the_next_issuer_is_asked_after_three_failed_orders);
  CPPUNIT_TEST(the_next_issuer_is_asked_when_one_cannot_be_reached);
  CPPUNIT_TEST(an_order_that_may_be_known_stays_with_its_issuer);
  CPPUNIT_TEST(what_a_ca_issues_wrongly_is_not_published_and_not_asked_for_at_once);
  CPPUNIT_TEST(an_issuer_that_needs_a_person_is_left_at_once_until_the_next_renewal);
  CPPUNIT_TEST(the_pause_of_each_issuer_is_its_own);
  CPPUNIT_TEST(what_a_commercial_ca_issued_wrongly_is_not_ordered_again);
  CPPUNIT_TEST(an_order_that_was_placed_elsewhere_is_carried_on_and_none_is_placed);
  CPPUNIT_TEST(an_order_is_not_taken_over_beside_one_that_is_open);
  CPPUNIT_TEST(an_order_that_the_ca_never_lets_end_goes_to_the_next_issuer_after_a_day);
  CPPUNIT_TEST(an_order_that_never_ends_is_told_and_placed_anew_where_there_is_one_issuer);
  CPPUNIT_TEST(an_order_that_never_ends_leaves_time_before_the_certificate_ends);
  CPPUNIT_TEST(a_paid_order_that_never_ends_stays_open_and_is_told);
  CPPUNIT_TEST(an_order_is_not_waited_for_beyond_its_end_by_the_ca_s_own_word);
  CPPUNIT_TEST(where_nobody_else_can_be_asked_an_outage_gives_no_order_up);
  CPPUNIT_TEST(an_order_of_a_clock_that_was_years_ahead_is_given_up_all_the_same);
  CPPUNIT_TEST_SUITE_END();

 public:
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

  void what_a_ca_issues_wrongly_is_not_published_and_not_asked_for_at_once() {
    publication_fails_ = Error{ErrorKind::issuer_refused, "the certificate does not fit its key"};
    const auto again = run();
    CPPUNIT_ASSERT(again && *again >= clock_.now() + 1min);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
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

  void an_order_that_the_ca_never_lets_end_goes_to_the_next_issuer_after_a_day() {
    using enum IssuerOrderStatus;
    certificate_.issuers = {"ca", "other"};
    for (const auto status :
         {std::optional(processing), std::optional(pending), std::optional(ready), std::optional<IssuerOrderStatus>()}) {
      const std::string what = status ? to_string(*status) : "no answer";
      current_.reset();
      published_.clear();
      const auto orders = ca().orders();
      const auto others = issuers_.at("other")->orders();
      ca().twist = [&](const std::string& action, IssuerOrder& order) -> std::optional<Error> {
        if (action != "refresh" && action != "finalize") return std::nullopt;
        if (!status) return Error{ErrorKind::connection, "it is broken"};
        order.status = *status;
        return std::nullopt;
      };
      restart();
      live(22h);
      CPPUNIT_ASSERT_EQUAL_MESSAGE(what, orders + 1, ca().orders());
      CPPUNIT_ASSERT_EQUAL_MESSAGE(what, others, issuers_.at("other")->orders());
      // Another process has the same order.
      restart();
      live(6h);
      CPPUNIT_ASSERT_EQUAL_MESSAGE(what, orders + 1, ca().orders());
      CPPUNIT_ASSERT_EQUAL_MESSAGE(what, others + 1, issuers_.at("other")->orders());
      CPPUNIT_ASSERT_EQUAL_MESSAGE(what, std::size_t{1}, published_.size());
      clock_.advance(24h * 100);
    }
  }

  void an_order_that_never_ends_is_told_and_placed_anew_where_there_is_one_issuer() {
    ca().working = true;
    const Time begun = clock_.now();
    live(23h);
    CPPUNIT_ASSERT(!renewal_->view().failure);
    live(3h);
    CPPUNIT_ASSERT(renewal_->view().failure && renewal_->view().failure->kind == ErrorKind::issuer_refused);
    CPPUNIT_ASSERT(renewal_->view().failure->message.find("come to its end") != std::string::npos);
    CPPUNIT_ASSERT(renewal_->view().failure->since <= begun + 1min);
    live(20h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca().orders());
    CPPUNIT_ASSERT(published_.empty());
  }

  void an_order_that_never_ends_leaves_time_before_the_certificate_ends() {
    certificate_.issuers = {"ca", "other"};
    restart();
    ca().lifetime = 24h;
    const auto again = run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    ca().working = true;
    clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(*again - clock_.now()));
    live(std::chrono::floor<std::chrono::minutes>(current_->lifetime.not_after - clock_.now()) - 1h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, published_.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, issuers_.at("other")->orders());
  }

  void a_paid_order_that_never_ends_stays_open_and_is_told() {
    IssuerSpec spec = ca().spec();
    spec.type = "certinext";
    issuers_["ca"] = std::make_shared<FakeIssuer>(spec, clock_);
    certificate_.issuers = {"ca", "other"};
    restart();
    ca().working = true;
    live(23h);
    CPPUNIT_ASSERT(!renewal_->view().failure);
    live(72h);
    CPPUNIT_ASSERT(renewal_->view().failure && renewal_->view().failure->kind == ErrorKind::action_required);
    CPPUNIT_ASSERT(renewal_->view().order == OrderState::processing);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{0}, issuers_.at("other")->orders());
    ca().working = false;
    live(1h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT(!renewal_->view().failure);
  }

  void an_order_is_not_waited_for_beyond_its_end_by_the_ca_s_own_word() {
    certificate_.issuers = {"ca", "other"};
    // Longer than a day is no promise that the order ends.
    for (const auto& [ends_after, waited] : {std::pair(3h, 3h), std::pair(24h * 7, 24h)}) {
      current_.reset();
      published_.clear();
      const auto orders = ca().orders();
      const auto others = issuers_.at("other")->orders();
      const Time expires = clock_.now() + ends_after;
      ca().twist = [expires](const std::string& action, IssuerOrder& order) -> std::optional<Error> {
        if (action == "refresh") order.status = IssuerOrderStatus::processing;
        order.expires = expires;
        return std::nullopt;
      };
      restart();
      live(waited - 30min);
      CPPUNIT_ASSERT_EQUAL(orders + 1, ca().orders());
      CPPUNIT_ASSERT_EQUAL(others, issuers_.at("other")->orders());
      live(3h);
      CPPUNIT_ASSERT_EQUAL(orders + 1, ca().orders());
      CPPUNIT_ASSERT_EQUAL(others + 1, issuers_.at("other")->orders());
      CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
      clock_.advance(24h * 100);
    }
  }

  void where_nobody_else_can_be_asked_an_outage_gives_no_order_up() {
    ca().validating = true;
    live(1h);
    Error away{ErrorKind::connection, "no route", std::nullopt,
               std::make_shared<const Problem>(Problem{server_unreachable, "", "", {}})};
    ca().always = &away;
    live(24h * 4);
    ca().always = nullptr;
    ca().validating = false;
    live(3h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  void an_order_of_a_clock_that_was_years_ahead_is_given_up_all_the_same() {
    constexpr auto years = 24h * 3650;
    certificate_.issuers = {"ca", "other"};
    for (const bool starts_anew : {false, true}) {
      current_.reset();
      published_.clear();
      const auto others = issuers_.at("other")->orders();
      ca().working = true;
      clock_.advance(years);
      restart();
      live(1h);
      clock_.advance(-years);
      if (starts_anew) restart();
      live(27h);
      CPPUNIT_ASSERT_EQUAL(others + 1, issuers_.at("other")->orders());
      CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
      clock_.advance(24h * 100);
    }
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
};

CPPUNIT_TEST_SUITE_REGISTRATION(RenewalIssuersTest);

}  // namespace
}  // namespace evercert
