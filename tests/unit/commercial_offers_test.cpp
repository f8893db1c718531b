#include <cppunit/extensions/HelperMacros.h>

#include "agent/commercial/cached_account.h"
#include "fake/fake_clock.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

using namespace std::chrono_literals;

Offers some_offers() {
  Offers offers;
  offers.products = {{"842", "DV SSL", {}, 1000}, {"501", "OV", {90, 199}, {}}};
  offers.organizations = {{"10", "Example", {}, {}}};
  offers.balance = 2500;
  offers.currency = "USD";
  return offers;
}

Purchase purchase_of(const std::string& product, unsigned term = 0, const std::string& organization = "") {
  Purchase purchase;
  purchase.product = product;
  purchase.term = term;
  purchase.organization = organization;
  return purchase;
}

class FakeAccount : public CommercialAccount {
 public:
  struct Script {
    Offers offers = some_offers();
    std::optional<Error> fails;
    unsigned asked = 0;
    unsigned with_domains = 0;
  };
  explicit FakeAccount(Script& script) : script_(script) {}
  Result<OrderPage> page(const OrderFilter&, const std::string&) override { return OrderPage(); }
  Result<std::string> request_of(const std::string&) override { return std::string(); }
  Result<std::string> ordered_on(const std::string&) override { return std::string(); }
  Result<Offers> offers(bool domains) override {
    ++script_.asked;
    script_.with_domains += domains ? 1 : 0;
    if (script_.fails) return *script_.fails;
    return script_.offers;
  }
  [[nodiscard]] bool says_unknown(const Error& error) const override { return error.message == "unknown"; }

 private:
  Script& script_;
};

class FakeApi : public CommercialApi {
 public:
  [[nodiscard]] std::string title() const override { return "Example CA"; }
  Result<std::string> test_login() override { return nothing(); }
  Result<std::string> place(const Wanted&) override { return nothing(); }
  Result<std::optional<std::string>> find(const Wanted&, const std::vector<std::string>&) override { return nothing(); }
  Result<Progress> track(const std::string&) override { return nothing(); }
  Result<Task> task(const std::string&, const std::string&, ChallengeKind) override { return nothing(); }
  Result<Done> verify(const std::string&, const std::string&, ChallengeKind, const std::string&) override { return nothing(); }
  Result<std::string> download(const std::string&) override { return nothing(); }
  Result<Done> cancel(const std::string&, const std::string&) override { return nothing(); }
  Result<Done> revoke(const LeafFacts&, int, const std::string&) override { return nothing(); }
  Result<Settled> revocation_of(const LeafFacts&) override { return Settled::yes; }

 private:
  static Error nothing() { return {ErrorKind::internal, "nothing of this is asked for here"}; }
};

class FakeRecords : public OfferRecords {
 public:
  Result<bool> load(const std::string&, What what, const Reader& read) override {
    if (kept.contains(what)) read(kept.at(what));
    return kept.contains(what);
  }
  Result<Done> save(const std::string&, What what, Json content) override {
    kept[what] = std::move(content);
    return Done{};
  }
  std::map<What, Json> kept;
};

class NoAccounts : public AccountRecords {
 public:
  Result<std::optional<AccountRecord>> load(const std::string&) override { return std::optional<AccountRecord>(); }
  Result<AccountRecord> add(const std::string&, const AccountRecord& record) override { return record; }
  Result<Done> save(const std::string&, const AccountRecord&) override { return Done{}; }
};

}  // namespace

class OffersTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(OffersTest);
  CPPUNIT_TEST(amounts_are_read_to_the_hundredth);
  CPPUNIT_TEST(what_is_in_no_list_is_named_with_what_is);
  CPPUNIT_TEST(a_list_that_the_ca_does_not_have_checks_nothing);
  CPPUNIT_TEST(a_long_list_is_cut);
  CPPUNIT_TEST(offers_survive_being_written_and_read);
  CPPUNIT_TEST(what_lacks_a_member_is_no_record_of_offers);
  CPPUNIT_TEST(words_of_refusals_tell_money_licences_and_limits_apart);
  CPPUNIT_TEST(a_filter_chooses_by_what_the_list_tells);
  CPPUNIT_TEST(lists_are_read_once_and_again_after_a_week);
  CPPUNIT_TEST(a_balance_is_looked_at_daily);
  CPPUNIT_TEST(lists_that_cannot_be_read_keep_no_order_back_and_are_not_asked_for_at_once);
  CPPUNIT_TEST(what_an_old_list_has_not_is_looked_up_once_more);
  CPPUNIT_TEST(an_unknown_id_is_explained_by_fresh_lists_but_not_each_time);
  CPPUNIT_TEST(a_low_balance_is_told_once_a_day_and_its_end);
  CPPUNIT_TEST_SUITE_END();

 public:
  void amounts_are_read_to_the_hundredth() {
    CPPUNIT_ASSERT(cents_of("1234.5") == 123450);
    CPPUNIT_ASSERT(cents_of("1,000.00") == 100000);
    CPPUNIT_ASSERT(cents_of("10.0") == 1000);
    CPPUNIT_ASSERT(cents_of("-2.259") == -225);
    for (const char* text : {"", ".", "ten", "1.2.3", "99999999999999999999"}) CPPUNIT_ASSERT(!cents_of(text));
    CPPUNIT_ASSERT_EQUAL(std::string("-2.05"), text_of_cents(-205));
  }

  void what_is_in_no_list_is_named_with_what_is() {
    const Offers offers = some_offers();
    CPPUNIT_ASSERT(!offers.missing_in(purchase_of("842", 3, "10")));
    const auto product = offers.missing_in(purchase_of("999"));
    CPPUNIT_ASSERT(product && product->find("no product 999") != std::string::npos);
    CPPUNIT_ASSERT(product->find("842 (DV SSL)") != std::string::npos);
    const auto term = offers.missing_in(purchase_of("501", 100));
    CPPUNIT_ASSERT(term && term->find("90, 199") != std::string::npos);
    const auto organization = offers.missing_in(purchase_of("501", 90, "11"));
    CPPUNIT_ASSERT(organization && organization->find("10 (Example)") != std::string::npos);
  }

  void a_list_that_the_ca_does_not_have_checks_nothing() { CPPUNIT_ASSERT(!Offers().missing_in(purchase_of("999", 7, "11"))); }

  void a_long_list_is_cut() {
    Offers offers;
    offers.products.emplace();
    for (int i = 0; i < 40; ++i) offers.products->push_back({std::to_string(i), "", {}, {}});
    CPPUNIT_ASSERT(offers.missing_in(purchase_of("x"))->find("and 28 more") != std::string::npos);
  }

  void offers_survive_being_written_and_read() {
    Offers offers = some_offers();
    offers.domains = {"a.test"};
    offers.domain_count = 7;
    offers.fetched_at = std::chrono::system_clock::from_time_t(1'800'000'000);
    const Offers again = offers_from(to_json(offers));
    CPPUNIT_ASSERT_EQUAL(offers.summary(), again.summary());
    CPPUNIT_ASSERT(again.fetched_at == offers.fetched_at && again.products->at(1).terms.size() == 2);
    CPPUNIT_ASSERT(!again.groups && again.price_of(purchase_of("842")) == 1000);
  }

  void what_lacks_a_member_is_no_record_of_offers() {
    CPPUNIT_ASSERT_THROW(offers_from(Json::object()), std::exception);
    Json json = to_json(some_offers());
    json["domain_count"] = "many";
    CPPUNIT_ASSERT_THROW(offers_from(json), std::exception);
  }

  void words_of_refusals_tell_money_licences_and_limits_apart() {
    CPPUNIT_ASSERT(shortage_in("Insufficient funds") == Shortage::money);
    CPPUNIT_ASSERT(shortage_in("Your balance is too small") == Shortage::money);
    CPPUNIT_ASSERT(shortage_in("license count exceeded") == Shortage::licence);
    CPPUNIT_ASSERT(shortage_in("the number of certificates that were bought is used up") == Shortage::licence);
    CPPUNIT_ASSERT(shortage_in("request_limit_exceeded") == Shortage::rate);
    CPPUNIT_ASSERT(shortage_in("Too many requests, please wait") == Shortage::rate);
    CPPUNIT_ASSERT(shortage_in("Invalid product code") == Shortage::none);
    CPPUNIT_ASSERT(shortage_in("The time for a refundrequest, or refunds, has passed") == Shortage::none);
  }

  void a_filter_chooses_by_what_the_list_tells() {
    OrderFilter filter;
    ListedOrder order{"1", "a.test", ListedState::issued, "", "g", "2026-05-05", ""};
    CPPUNIT_ASSERT(filter.fits(order));
    filter.since = "2026-05-05";
    filter.until = "2026-05-05";
    filter.group = "g";
    filter.names = {"b.test", "a.test"};
    CPPUNIT_ASSERT(filter.fits(order));
    filter.since = "2026-05-06";
    CPPUNIT_ASSERT(!filter.fits(order));
    order.ordered = "";
    CPPUNIT_ASSERT(filter.fits(order));
    order.group = "h";
    CPPUNIT_ASSERT(!filter.fits(order));
    order.group = "";
    order.state = ListedState::revoked;
    CPPUNIT_ASSERT(!filter.fits(order));
  }

  void lists_are_read_once_and_again_after_a_week() {
    script_.offers.balance.reset();
    auto desk = make_desk("842");
    for (int i = 0; i < 3; ++i) CPPUNIT_ASSERT(desk->check_options().has_value());
    CPPUNIT_ASSERT_EQUAL(1U, script_.asked);
    // Another process knows them from the store; domains are read after a day, all of it weekly.
    desk = make_desk("842");
    CPPUNIT_ASSERT(desk->check_options().has_value());
    CPPUNIT_ASSERT_EQUAL(1U, script_.asked);
    for (int hour = 0; hour < 24 * 15; ++hour) {
      desk->tend();
      clock_.advance(1h);
    }
    CPPUNIT_ASSERT_EQUAL(3U, script_.asked);
    CPPUNIT_ASSERT_EQUAL(2U, script_.with_domains);
  }

  void a_balance_is_looked_at_daily() {
    auto desk = make_desk("842");
    for (int hour = 0; hour < 24 * 7; ++hour) {
      desk->tend();
      clock_.advance(1h);
    }
    CPPUNIT_ASSERT(script_.asked >= 7 && script_.asked <= 8);
    CPPUNIT_ASSERT_EQUAL(1U, script_.with_domains);
  }

  void lists_that_cannot_be_read_keep_no_order_back_and_are_not_asked_for_at_once() {
    script_.fails = Error{ErrorKind::connection, "away"};
    auto desk = make_desk("999");
    for (int i = 0; i < 3; ++i) CPPUNIT_ASSERT(desk->check_options().has_value());
    CPPUNIT_ASSERT_EQUAL(1U, script_.asked);
    clock_.advance(2h);
    script_.fails.reset();
    CPPUNIT_ASSERT(!desk->check_options().has_value());
  }

  void what_an_old_list_has_not_is_looked_up_once_more() {
    auto desk = make_desk("999");
    CPPUNIT_ASSERT(!desk->check_options().has_value());
    CPPUNIT_ASSERT_EQUAL(1U, script_.asked);
    clock_.advance(1h);
    script_.offers.products->push_back({"999", "new", {}, {}});
    CPPUNIT_ASSERT(desk->check_options().has_value());
    CPPUNIT_ASSERT_EQUAL(2U, script_.asked);
  }

  void an_unknown_id_is_explained_by_fresh_lists_but_not_each_time() {
    auto desk = make_desk("842");
    CPPUNIT_ASSERT(desk->check_options().has_value());
    script_.offers.products->erase(script_.offers.products->begin());
    for (int i = 0; i < 3; ++i) {
      const Error error = desk->explained({ErrorKind::issuer_refused, "unknown"});
      CPPUNIT_ASSERT(error.kind == ErrorKind::action_required);
      CPPUNIT_ASSERT(error.message.find("no product 842; there is: 501 (OV)") != std::string::npos);
    }
    CPPUNIT_ASSERT_EQUAL(2U, script_.asked);
    CPPUNIT_ASSERT_EQUAL(std::string("else"), desk->explained({ErrorKind::issuer_refused, "else"}).message);
  }

  void a_low_balance_is_told_once_a_day_and_its_end() {
    std::vector<std::string> told;
    events_.subscribe([&](const Event& event) { told.push_back(event.name); });
    script_.offers.balance = 999;  // less than the price of 842
    auto desk = make_desk("842");
    for (int i = 0; i < 3; ++i) CPPUNIT_ASSERT(desk->sync(false).has_value());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, told.size());
    CPPUNIT_ASSERT(desk->seen() && desk->seen()->low);
    clock_.advance(25h);
    CPPUNIT_ASSERT(desk->sync(false).has_value());
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, told.size());
    script_.offers.balance = 1000;
    CPPUNIT_ASSERT(desk->sync(false).has_value());
    CPPUNIT_ASSERT_EQUAL(std::string("balance_restored"), told.back());
    CPPUNIT_ASSERT(!desk->seen()->low);
  }

 private:
  std::unique_ptr<CachedAccount> make_desk(const std::string& product) {
    IssuerSpec spec;
    spec.name = "bought";
    spec.purchase = purchase_of(product);
    IssuerSurroundings surroundings{accounts_, events_, clock_};
    surroundings.offers = &records_;
    return std::make_unique<CachedAccount>(spec, api_, std::make_unique<FakeAccount>(script_), surroundings, nullptr);
  }

  FakeClock clock_;
  Events events_;
  FakeApi api_;
  NoAccounts accounts_;
  FakeRecords records_;
  FakeAccount::Script script_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(OffersTest);

}  // namespace evercert
