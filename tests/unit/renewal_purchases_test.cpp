// What stands on disk is from before, or gone: nothing is bought a second time by itself.
#include <sys/stat.h>

#include <filesystem>

#include "agent/net/http_client.h"
#include "renewal_ground.h"

namespace evercert {
namespace {

class RenewalPurchasesTest : public RenewalGround {
  CPPUNIT_TEST_SUITE(RenewalPurchasesTest);
  CPPUNIT_TEST(a_record_from_before_the_order_that_was_put_back_orders_nothing_again);
  CPPUNIT_TEST(a_record_from_before_a_purchase_that_was_put_back_buys_nothing_again);
  CPPUNIT_TEST(a_record_from_before_an_order_that_is_not_wanted_any_more_gives_it_up);
  CPPUNIT_TEST(a_purchase_whose_record_was_removed_is_not_made_again_by_itself);
  CPPUNIT_TEST(an_order_that_costs_nothing_and_whose_record_was_removed_is_placed_again);
  CPPUNIT_TEST(a_record_of_the_purchase_before_buys_nothing);
  CPPUNIT_TEST(a_record_of_a_purchase_that_has_ended_buys_nothing);
  CPPUNIT_TEST(a_purchase_that_was_not_counted_yet_is_found_again);
  CPPUNIT_TEST(what_came_back_from_a_backup_is_carried_on);
  CPPUNIT_TEST(what_was_bought_and_removed_is_bought_again_only_when_somebody_asks);
  CPPUNIT_TEST(what_was_bought_and_removed_is_waited_for_until_it_comes_back);
  CPPUNIT_TEST(what_cost_nothing_and_was_removed_is_ordered_again);
  CPPUNIT_TEST(an_issuer_that_was_renamed_goes_on_with_its_order);
  CPPUNIT_TEST(a_slash_more_in_the_address_changes_nothing);
  CPPUNIT_TEST(a_mistyped_address_buys_nothing_and_its_correction_goes_on);
  CPPUNIT_TEST(a_paid_order_at_an_address_that_is_gone_is_left_when_somebody_asks);
  CPPUNIT_TEST(an_order_that_was_taken_over_ends_what_a_left_one_holds_up);
  CPPUNIT_TEST(a_free_order_of_an_issuer_that_is_not_named_any_more_is_given_up);
  CPPUNIT_TEST(a_paid_order_of_an_issuer_that_is_not_named_any_more_is_carried_on);
  CPPUNIT_TEST(what_the_ca_does_not_cancel_is_not_bought_beside_by_itself);
  CPPUNIT_TEST(a_pipe_in_the_place_of_a_record_is_put_away);
  CPPUNIT_TEST(an_order_that_cannot_be_read_is_a_problem_and_shortens_no_pause);
  CPPUNIT_TEST_SUITE_END();

 public:
  void a_record_from_before_the_order_that_was_put_back_orders_nothing_again() { put_back_and_carry_on("acme"); }

  void a_record_from_before_a_purchase_that_was_put_back_buys_nothing_again() { put_back_and_carry_on("certinext"); }

  void a_record_from_before_an_order_that_is_not_wanted_any_more_gives_it_up() {
    const Bytes before = record_before_an_order("certinext");
    certificate_.identifiers.push_back({IdentifierKind::dns, "example.test"});
    restart();
    put_record(before);
    ca().working = false;
    live(1h);
    CPPUNIT_ASSERT_EQUAL(1U, ca().count("abandon"));
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  void a_purchase_whose_record_was_removed_is_not_made_again_by_itself() {
    record_before_an_order("certinext");
    remove_record();
    for (int start = 0; start < 2; ++start) {
      restart();
      live(72h);
      CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
      const auto failure = renewal_->view().failure;
      CPPUNIT_ASSERT(failure && failure->until_asked && failure->kind == ErrorKind::action_required);
      CPPUNIT_ASSERT(failure->message.find("costs money") != std::string::npos);
    }
    ca().working = false;
    CPPUNIT_ASSERT(!renewal_->request(false));
    live(1h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    restart();
    live(24h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca().orders());
    CPPUNIT_ASSERT(!renewal_->view().failure);
  }

  void an_order_that_costs_nothing_and_whose_record_was_removed_is_placed_again() {
    record_before_an_order("acme");
    remove_record();
    restart();
    ca().working = false;
    live(1h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  void a_record_of_the_purchase_before_buys_nothing() {
    make_it_cost("certinext");
    run_until_due();
    const Bytes before = record();
    ca().working = true;
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca().orders());
    put_record(before);
    restart();
    live(24h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca().orders());
    CPPUNIT_ASSERT(renewal_->view().failure && renewal_->view().failure->until_asked);
  }

  void a_record_of_a_purchase_that_has_ended_buys_nothing() {
    record_before_an_order("certinext");
    const Bytes open = record();
    ca().working = false;
    live(1h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    put_record(open);
    // The CA would hand out again what it issued, or know nothing of it any more.
    published_.clear();
    restart();
    const unsigned asked = ca().count("refresh") + ca().count("find") + ca().count("challenges");
    live(24h);
    CPPUNIT_ASSERT_EQUAL(asked, ca().count("refresh") + ca().count("find") + ca().count("challenges"));
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
  }

  // Killed between the record and the count.
  void a_purchase_that_was_not_counted_yet_is_found_again() {
    make_it_cost("certinext");
    run_until_due();
    ca().working = true;
    run();
    const auto open = orders_.load(certificate_.name, KeyAlgorithm::ecdsa);
    CPPUNIT_ASSERT(open && *open && (*open)->purchase == 2);
    OrderRecord next = **open;
    next.purchase = 3;
    next.state = OrderState::placing;
    next.order.reset();
    CPPUNIT_ASSERT(OrderRecords(state_.store(), state_.keys().agent).save(next, Durability::process));
    ca().working = false;
    restart();
    live(24h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, published_.size());
    CPPUNIT_ASSERT(!renewal_->view().failure);
  }

  void what_came_back_from_a_backup_is_carried_on() {
    record_before_an_order("certinext");
    const Bytes open = record();
    remove_record();
    restart();
    live(24h);
    CPPUNIT_ASSERT(renewal_->view().failure);
    put_record(open);
    ca().working = false;
    restart();
    live(24h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT(!renewal_->view().failure);
  }

  void what_was_bought_and_removed_is_bought_again_only_when_somebody_asks() {
    buy_and_remove("certinext");
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    const auto failure = renewal_->view().failure;
    CPPUNIT_ASSERT(failure && failure->message.find("generation 1 of www.example.test cost money") == 0);
    CPPUNIT_ASSERT(!renewal_->request(false));
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, published_.size());
  }

  void what_was_bought_and_removed_is_waited_for_until_it_comes_back() {
    buy_and_remove("certinext");
    missing_.reset();
    current_ = before_;
    renewal_->installed(current_);
    live(1h);
    CPPUNIT_ASSERT(!renewal_->view().failure);
    live(24h * 80);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca().orders());
  }

  void what_cost_nothing_and_was_removed_is_ordered_again() {
    buy_and_remove("acme");
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, published_.size());
  }

  void an_issuer_that_was_renamed_goes_on_with_its_order() {
    for (const char* type : {"acme", "certinext"}) {
      make_it_cost(type);
      ca().working = true;
      run();
      const std::size_t orders = ca().orders();
      rename_issuer("ca", "shop");
      restart();
      issuers_.at("shop")->working = false;
      live(1h);
      CPPUNIT_ASSERT_EQUAL(orders, issuers_.at("shop")->orders());
      CPPUNIT_ASSERT_EQUAL(std::string("shop"), (*orders_.load(certificate_.name, KeyAlgorithm::ecdsa))->issuer);
      rename_issuer("shop", "ca");
      current_.reset();
    }
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, published_.size());
  }

  void a_slash_more_in_the_address_changes_nothing() {
    make_it_cost("certinext");
    ca().working = true;
    run();
    ca().is_at(ca().spec().uri + "/");
    restart();
    ca().working = false;
    live(1h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  void a_mistyped_address_buys_nothing_and_its_correction_goes_on() {
    make_it_cost("certinext");
    const std::string uri = ca().spec().uri;
    ca().working = true;
    run();
    ca().is_at("https://elsewhere.test/");
    restart();
    live(24h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    CPPUNIT_ASSERT(renewal_->view().failure &&
                   renewal_->view().failure->message.find("is open at " + uri) != std::string::npos);
    ca().is_at(uri);
    ca().working = false;
    restart();
    CPPUNIT_ASSERT(!run() || !renewal_->view().failure);
    live(1h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  void a_paid_order_at_an_address_that_is_gone_is_left_when_somebody_asks() {
    make_it_cost("certinext");
    ca().working = true;
    run();
    ca().is_at("https://elsewhere.test/");
    ca().working = false;
    restart();
    live(1h);
    CPPUNIT_ASSERT(!renewal_->request(false));
    live(1h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    CPPUNIT_ASSERT(!renewal_->view().failure);
  }

  void an_order_that_was_taken_over_ends_what_a_left_one_holds_up() {
    make_it_cost("certinext");
    ca().working = true;
    run();
    ca().is_at("https://elsewhere.test/");
    ca().working = false;
    restart();
    run();
    CPPUNIT_ASSERT(!renewal_->take_over(placed_elsewhere()));
    live(1h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    live(24h * 70);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, published_.size());
  }

  void a_free_order_of_an_issuer_that_is_not_named_any_more_is_given_up() {
    ca().working = true;
    run();
    certificate_.issuers = {"other"};
    restart();
    live(1h);
    CPPUNIT_ASSERT_EQUAL(1U, ca().count("abandon"));
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, issuers_.at("other")->orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  void a_paid_order_of_an_issuer_that_is_not_named_any_more_is_carried_on() {
    make_it_cost("certinext");
    ca().working = true;
    run();
    certificate_.issuers = {"other"};
    restart();
    live(1h);
    CPPUNIT_ASSERT_EQUAL(0U, ca().count("abandon"));
    ca().working = false;
    live(1h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{0}, issuers_.at("other")->orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  void what_the_ca_does_not_cancel_is_not_bought_beside_by_itself() {
    make_it_cost("certinext");
    ca().working = true;
    run();
    ca().fail_next("abandon", {ErrorKind::action_required, "it is too late"});
    certificate_.identifiers.push_back({IdentifierKind::dns, "example.test"});
    restart();
    live(24h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    const auto failure = renewal_->view().failure;
    CPPUNIT_ASSERT(failure && failure->until_asked && failure->message.find("it is too late") != std::string::npos);
    ca().working = false;
    CPPUNIT_ASSERT(!renewal_->request(false));
    live(1h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  void a_pipe_in_the_place_of_a_record_is_put_away() {
    const std::string path = state_.path() + "/state/" + order_key(certificate_.name, KeyAlgorithm::ecdsa);
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    std::filesystem::remove(path);
    CPPUNIT_ASSERT_EQUAL(0, mkfifo(path.c_str(), 0600));
    restart();
    live(1h);
    CPPUNIT_ASSERT(!std::filesystem::exists(path));
    const std::filesystem::directory_iterator quarantine(state_.path() + "/state/quarantine");
    CPPUNIT_ASSERT(std::distance(begin(quarantine), end(quarantine)) == 1);
    CPPUNIT_ASSERT(!renewal_->request(true));
    live(1h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, published_.size());
  }

  void an_order_that_cannot_be_read_is_a_problem_and_shortens_no_pause() {
    ca().fail_next("place", {ErrorKind::rate_limited, "too many", 3h});
    run();
    left_orders_fail_ = true;
    remove_record();
    restart();
    live(1h);
    CPPUNIT_ASSERT(renewal_->view().failure && renewal_->view().failure->kind == ErrorKind::storage);
    left_orders_fail_ = false;
    live(1h);
    CPPUNIT_ASSERT(renewal_->view().failure && renewal_->view().failure->kind == ErrorKind::rate_limited);
    CPPUNIT_ASSERT_EQUAL(std::size_t{0}, ca().orders());
    live(3h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

 private:
  void rename_issuer(const std::string& from, const std::string& to) {
    issuers_[to] = issuers_.at(from);
    issuers_.erase(from);
    issuers_.at(to)->is_called(to);
    certificate_.issuers = {to};
  }

  void buy_and_remove(const char* type) {
    make_it_cost(type);
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    before_ = std::exchange(current_, std::nullopt);
    missing_ = 1;
    CPPUNIT_ASSERT(state_.store().erase(order_key(certificate_.name, KeyAlgorithm::ecdsa)).has_value());
    restart();
    live(24h * 3);
  }

  void make_it_cost(const char* type) {
    IssuerSpec spec = ca().spec();
    spec.type = type;
    issuers_["ca"] = std::make_shared<FakeIssuer>(spec, clock_);
    restart();
  }

  [[nodiscard]] Bytes record() {
    const auto record = state_.store().get(order_key(certificate_.name, KeyAlgorithm::ecdsa));
    CPPUNIT_ASSERT(record && *record);
    return (*record)->value;
  }

  void remove_record() { CPPUNIT_ASSERT(state_.store().erase(order_key(certificate_.name, KeyAlgorithm::ecdsa)).has_value()); }

  // Of an order that the CA refused to take at first; it is open at the CA now.
  Bytes record_before_an_order(const char* type) {
    make_it_cost(type);
    ca().working = true;
    Error away{ErrorKind::connection, "no route", std::nullopt,
               std::make_shared<const Problem>(Problem{server_unreachable, "", "", {}})};
    ca().fail_next("place", away);
    run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{0}, ca().orders());
    Bytes before = record();
    live(1h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    CPPUNIT_ASSERT(renewal_->view().order == OrderState::processing);
    return before;
  }

  void put_back_and_carry_on(const char* type) {
    const Bytes before = record_before_an_order(type);
    restart();
    put_record(before);
    ca().working = false;
    live(1h);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca().orders());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
  }

  void put_record(const Bytes& record) {
    CPPUNIT_ASSERT(state_.store().put(order_key(certificate_.name, KeyAlgorithm::ecdsa), record, {}).has_value());
  }

  // The first certificate is there, and two thirds of its life are over.
  void run_until_due() {
    const auto due = run();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, published_.size());
    clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(*due - clock_.now()) + 1s);
  }

  std::optional<Installed> before_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(RenewalPurchasesTest);

}  // namespace
}  // namespace evercert
