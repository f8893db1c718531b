#include "agent/order/order_machine.h"

#include <cppunit/extensions/HelperMacros.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "fake/fake_clock.h"
#include "fake/fake_issuer.h"
#include "fake/state_directory.h"
#include "serving/base/json.h"
#include "serving/certificate/bundle.h"

namespace evercert {
namespace {

struct Crash : std::runtime_error {
  Crash() : std::runtime_error("crash") {}
};

class OrderMachineTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(OrderMachineTest);
  CPPUNIT_TEST(an_order_goes_from_nothing_to_a_certificate_that_fits_its_key);
  CPPUNIT_TEST(key_and_request_are_on_disk_before_anything_is_sent);
  CPPUNIT_TEST(a_crash_at_any_outside_action_never_makes_a_second_order_nor_loses_the_key);
  CPPUNIT_TEST(a_lost_answer_to_new_order_is_looked_for_before_placing_again);
  CPPUNIT_TEST(an_order_that_reaches_the_ca_after_its_sender_died_is_found);
  CPPUNIT_TEST(a_forgotten_order_is_not_given_up_at_the_ca);
  CPPUNIT_TEST(a_lost_connection_leaves_the_record_where_it_was);
  CPPUNIT_TEST(a_full_disk_before_new_order_sends_nothing);
  CPPUNIT_TEST(a_refused_order_goes_back_to_planned);
  CPPUNIT_TEST(a_failed_validation_is_given_up_with_its_problem);
  CPPUNIT_TEST(an_order_that_is_not_wanted_any_more_is_abandoned_at_the_ca);
  CPPUNIT_TEST(an_order_without_an_answer_is_looked_for_before_it_is_given_up);
  CPPUNIT_TEST(a_published_order_keeps_its_history_but_not_its_key);
  CPPUNIT_TEST(what_an_order_may_still_bring_is_on_disk_before_it_is_published_and_handed_to_the_next);
  CPPUNIT_TEST(a_record_survives_writing_and_reading);
  CPPUNIT_TEST(a_damaged_record_is_quarantined);
  CPPUNIT_TEST(no_way_leads_in_a_circle_without_a_pause_and_a_count);
  CPPUNIT_TEST(an_order_that_is_not_ready_to_be_finalized_is_set_back_and_counted);
  CPPUNIT_TEST(the_diagram_in_the_documentation_is_the_table);
  CPPUNIT_TEST_SUITE_END();

 public:
  OrderMachineTest() {
    IssuerSpec spec;
    spec.name = "ca";
    spec.uri = "https://ca.test/directory";
    certificate_.name = "www.example.test";
    certificate_.identifiers = {{IdentifierKind::dns, "www.example.test"}, {IdentifierKind::dns, "example.test"}};
    certificate_.issuers = {"ca"};
    certificate_.keys = {{KeyAlgorithm::ecdsa, 256}};
    issuer_ = std::make_unique<FakeIssuer>(spec, clock_);
    records_ = std::make_unique<OrderRecords>(state_.store(), state_.keys().agent);
    keys_ = make_file_keys();
  }

  void an_order_goes_from_nothing_to_a_certificate_that_fits_its_key() {
    OrderMachine machine = fresh();
    const auto issued = drive(machine);
    CPPUNIT_ASSERT(issued);
    check_pair(*issued, machine.record());
    CPPUNIT_ASSERT_EQUAL(2U, issuer_->count("respond"));
    CPPUNIT_ASSERT_EQUAL(1U, issuer_->count("refresh"));
  }

  void key_and_request_are_on_disk_before_anything_is_sent() {
    OrderMachine machine = fresh();
    bool seen = false;
    issuer_->witness = [&](const std::string& action, bool after) {
      if (action != "place" || after) return;
      auto record = records_->load("www.example.test", KeyAlgorithm::ecdsa);
      CPPUNIT_ASSERT(record && *record);
      CPPUNIT_ASSERT((*record)->state == OrderState::placing);
      CPPUNIT_ASSERT(!(*record)->private_key.empty());
      CPPUNIT_ASSERT(!(*record)->request.empty());
      seen = true;
    };
    CPPUNIT_ASSERT(machine.step().has_value());
    CPPUNIT_ASSERT(seen);
  }

  void a_crash_at_any_outside_action_never_makes_a_second_order_nor_loses_the_key() {
    for (unsigned crash_at = 0; crash_at < 40; ++crash_at) {
      for (const KeyAlgorithm algorithm : {KeyAlgorithm::ecdsa})
        static_cast<void>(state_.store().erase(order_key("www.example.test", algorithm)).has_value());
      issuer_ = std::make_unique<FakeIssuer>(issuer_->spec(), clock_);
      unsigned seen = 0;
      bool crashed = false;
      issuer_->witness = [&](const std::string&, bool) {
        if (seen++ == crash_at && !crashed) {
          crashed = true;
          throw Crash();
        }
      };
      std::optional<IssuedCertificate> issued;
      std::optional<OrderRecord> last;
      for (int life = 0; life < 3 && !issued; ++life) {
        auto record = records_->load("www.example.test", KeyAlgorithm::ecdsa);
        CPPUNIT_ASSERT(record.has_value());
        OrderMachine machine = *record && is_open((*record)->state) ? OrderMachine(parts(), std::move(**record)) : fresh();
        try {
          issued = drive(machine);
        } catch (const Crash&) {
        }
        last = machine.record();
      }
      CPPUNIT_ASSERT(issued);
      check_pair(*issued, *last);
      CPPUNIT_ASSERT_EQUAL(std::size_t{1}, issuer_->orders());
      if (!crashed) return;
    }
    CPPUNIT_FAIL("the order never ended without a crash");
  }

  void a_lost_answer_to_new_order_is_looked_for_before_placing_again() {
    issuer_->fail_next("place", {ErrorKind::connection, "lost"}, true);
    OrderMachine machine = fresh();
    CPPUNIT_ASSERT(!machine.step().has_value());
    CPPUNIT_ASSERT(machine.state() == OrderState::placing);
    CPPUNIT_ASSERT(drive(machine));
    CPPUNIT_ASSERT_EQUAL(1U, issuer_->count("place"));
    CPPUNIT_ASSERT_EQUAL(1U, issuer_->count("find"));
  }

  void an_order_that_reaches_the_ca_after_its_sender_died_is_found() {
    OrderMachine machine = fresh();
    issuer_->fail_next("place", {ErrorKind::connection, "killed"});
    CPPUNIT_ASSERT(!machine.step().has_value());
    auto looked = machine.step();
    CPPUNIT_ASSERT(looked && looked->wait == Wait::issuance && machine.state() == OrderState::placing);
    // What was on its way comes in now.
    CPPUNIT_ASSERT(issuer_->place(machine.record().wanted()).has_value());
    CPPUNIT_ASSERT(drive(machine));
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, issuer_->orders());
  }

  void a_forgotten_order_is_not_given_up_at_the_ca() {
    auto problem = std::make_shared<const Problem>(Problem{order_forgotten, "", "", {}});
    OrderMachine machine = fresh();
    CPPUNIT_ASSERT(machine.step().has_value());
    issuer_->fail_next("challenges", {ErrorKind::issuer_refused, "no such order", std::nullopt, problem});
    CPPUNIT_ASSERT(!drive(machine));
    CPPUNIT_ASSERT_EQUAL(0U, issuer_->count("abandon"));
    CPPUNIT_ASSERT(machine.record().problem && is_forgotten(*machine.record().problem));
  }

  void a_lost_connection_leaves_the_record_where_it_was() {
    for (const char* action : {"challenges", "respond", "refresh", "collect"}) {
      issuer_->fail_next(action, {ErrorKind::connection, "lost"});
    }
    OrderMachine machine = fresh();
    unsigned failures = 0;
    for (int i = 0; i < 40 && machine.state() != OrderState::issued; ++i) {
      const OrderState before = machine.state();
      auto result = machine.step();
      if (result) {
        if (result->issued) break;
        continue;
      }
      ++failures;
      CPPUNIT_ASSERT(result.error().kind == ErrorKind::connection);
      CPPUNIT_ASSERT(machine.state() == before);
    }
    CPPUNIT_ASSERT_EQUAL(4U, failures);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, issuer_->orders());
  }

  void a_full_disk_before_new_order_sends_nothing() {
    class FullStore : public Store {
     public:
      Result<std::optional<StoredObject>> get(const std::string&) override { return std::optional<StoredObject>(); }
      Result<std::vector<std::string>> list(const std::string&) override { return std::vector<std::string>(); }
      Result<std::uint64_t> put(const std::string&, BytesView, const PutOptions&) override {
        return Error{ErrorKind::storage, "no space left on device"};
      }
      Result<Done> erase(const std::string&) override { return Done{}; }
      Result<std::string> quarantine(const std::string&) override { return std::string(); }
      Result<std::size_t> sweep(std::chrono::system_clock::time_point) override { return std::size_t{0}; }
      Result<std::unique_ptr<StoreLock>> lock(const std::string&, std::chrono::milliseconds, std::stop_token) override {
        return std::unique_ptr<StoreLock>();
      }
      Result<std::unique_ptr<StoreWatch>> watch(const std::string&, std::function<void(const std::string&)>) override {
        return std::unique_ptr<StoreWatch>();
      }
    };
    FullStore full;
    OrderRecords records(full, state_.keys().agent);
    OrderMachine machine({*issuer_, solver_, *keys_, records, clock_, events_}, certificate_, certificate_.keys.front(), {});
    auto result = machine.step();
    CPPUNIT_ASSERT(!result && result.error().kind == ErrorKind::storage);
    CPPUNIT_ASSERT_EQUAL(0U, issuer_->count("place"));
    CPPUNIT_ASSERT(machine.state() == OrderState::planned);
  }

  void a_refused_order_goes_back_to_planned() {
    issuer_->fail_next("place", {ErrorKind::rate_limited, "too many", std::chrono::seconds(60)});
    OrderMachine machine = fresh();
    auto result = machine.step();
    CPPUNIT_ASSERT(!result && result.error().kind == ErrorKind::rate_limited);
    CPPUNIT_ASSERT(machine.state() == OrderState::planned);
    auto record = records_->load("www.example.test", KeyAlgorithm::ecdsa);
    CPPUNIT_ASSERT(record && *record && !is_open((*record)->state));
  }

  void a_failed_validation_is_given_up_with_its_problem() {
    issuer_->validation_fails = true;
    OrderMachine machine = fresh();
    CPPUNIT_ASSERT(!drive(machine));
    CPPUNIT_ASSERT(machine.state() == OrderState::failed);
    CPPUNIT_ASSERT(machine.record().problem && machine.record().problem->kind == ErrorKind::challenge_failed);
    CPPUNIT_ASSERT(machine.record().private_key.empty());
    CPPUNIT_ASSERT(solver_.presented.empty());
  }

  void an_order_without_an_answer_is_looked_for_before_it_is_given_up() {
    issuer_->fail_next("place", {ErrorKind::connection, "no answer"}, true);
    OrderMachine machine = fresh();
    CPPUNIT_ASSERT(!machine.step());
    CPPUNIT_ASSERT(machine.give_up({ErrorKind::configuration, "other names now"}).has_value());
    CPPUNIT_ASSERT(machine.step().has_value());
    CPPUNIT_ASSERT(machine.state() == OrderState::failed);
    CPPUNIT_ASSERT_EQUAL(1U, issuer_->count("find"));
    CPPUNIT_ASSERT_EQUAL(1U, issuer_->count("abandon"));
  }

  void an_order_that_is_not_wanted_any_more_is_abandoned_at_the_ca() {
    OrderMachine machine = fresh();
    CPPUNIT_ASSERT(machine.step().has_value());
    CPPUNIT_ASSERT(machine.give_up({ErrorKind::configuration, "other names"}).has_value());
    CPPUNIT_ASSERT(!drive(machine));
    CPPUNIT_ASSERT_EQUAL(1U, issuer_->count("abandon"));
    CPPUNIT_ASSERT(machine.record().known == std::vector<std::string>{"order/1"});
  }

  void a_published_order_keeps_its_history_but_not_its_key() {
    OrderMachine machine = fresh();
    CPPUNIT_ASSERT(drive(machine));
    CPPUNIT_ASSERT(machine.published().has_value());
    auto record = records_->load("www.example.test", KeyAlgorithm::ecdsa);
    CPPUNIT_ASSERT(record && *record);
    CPPUNIT_ASSERT((*record)->state == OrderState::issued);
    CPPUNIT_ASSERT((*record)->private_key.empty());
    CPPUNIT_ASSERT((*record)->known == std::vector<std::string>{"order/1"});
    CPPUNIT_ASSERT((*record)->history.size() > 5);
  }

  void what_an_order_may_still_bring_is_on_disk_before_it_is_published_and_handed_to_the_next() {
    issuer_->subscription = "runs until summer";
    OrderMachine machine = fresh();
    CPPUNIT_ASSERT(drive(machine));
    auto record = records_->load("www.example.test", KeyAlgorithm::ecdsa);
    CPPUNIT_ASSERT(record && *record && (*record)->state != OrderState::issued);
    CPPUNIT_ASSERT_EQUAL(issuer_->subscription, (*record)->wanted().subscription);
    CPPUNIT_ASSERT(machine.published().has_value());
    OrderMachine next(parts(), certificate_, certificate_.keys.front(), {}, machine.record().subscriptions);
    CPPUNIT_ASSERT_EQUAL(issuer_->subscription, next.record().wanted().subscription);
    // Another CA knows nothing of it.
    OrderRecord elsewhere = next.record();
    elsewhere.issuer_uri = "https://other.test/directory";
    CPPUNIT_ASSERT_EQUAL(std::string(), elsewhere.wanted().subscription);
  }

  void a_record_survives_writing_and_reading() {
    OrderMachine machine = fresh();
    for (int i = 0; i < 3; ++i) CPPUNIT_ASSERT(machine.step().has_value());
    const Json json = to_json(machine.record());
    const OrderRecord again = order_record_from(json);
    CPPUNIT_ASSERT(to_json(again) == json);
    CPPUNIT_ASSERT(again.identifiers == certificate_.identifiers);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, again.challenges.size());
  }

  void a_damaged_record_is_quarantined() {
    OrderMachine machine = fresh();
    CPPUNIT_ASSERT(machine.step().has_value());
    const std::string key = order_key("www.example.test", KeyAlgorithm::ecdsa);
    auto object = state_.store().get(key);
    CPPUNIT_ASSERT(object && *object);
    (*object)->value.back() ^= 1U;
    CPPUNIT_ASSERT(state_.store().put(key, (*object)->value, {}).has_value());
    auto record = records_->load("www.example.test", KeyAlgorithm::ecdsa);
    CPPUNIT_ASSERT(!record && record.error().kind == ErrorKind::storage);
    auto again = records_->load("www.example.test", KeyAlgorithm::ecdsa);
    CPPUNIT_ASSERT(again && !*again);
  }

  void no_way_leads_in_a_circle_without_a_pause_and_a_count() {
    const auto edges = order_edges();
    CPPUNIT_ASSERT(edges.size() > 30);
    for (const auto& edge : edges) {
      const std::string way = std::string(to_string(edge.from)) + " -> " + to_string(edge.to);
      switch (edge.course) {
        case Course::onward:
          CPPUNIT_ASSERT_MESSAGE(way, edge.to > edge.from);
          break;
        case Course::each_challenge:
          CPPUNIT_ASSERT_MESSAGE(way, edge.from == OrderState::presented && edge.to == OrderState::presented);
          break;
        case Course::waits:
          CPPUNIT_ASSERT_MESSAGE(way, edge.to >= edge.from);
          break;
        case Course::setback:
          CPPUNIT_ASSERT_MESSAGE(way, edge.to <= edge.from);
          break;
      }
    }
    // Every state but the last two has a step, and every step a way on.
    for (int state = 0; state <= static_cast<int>(OrderState::failed); ++state) {
      const auto from = static_cast<OrderState>(state);
      const bool ends = from == OrderState::issued || from == OrderState::failed;
      const bool leads_on = std::any_of(edges.begin(), edges.end(),
                                        [&](const OrderEdge& edge) { return edge.from == from && edge.to > edge.from; });
      CPPUNIT_ASSERT_MESSAGE(to_string(from), leads_on != ends);
    }
  }

  void an_order_that_is_not_ready_to_be_finalized_is_set_back_and_counted() {
    std::vector<std::string> told;
    events_.subscribe([&](const Event& event) { told.push_back(event.name); });
    issuer_->twist = [](const std::string& action, IssuerOrder& order) -> std::optional<Error> {
      if (action == "finalize") order.status = IssuerOrderStatus::ready;
      return std::nullopt;
    };
    OrderMachine machine = fresh();
    while (machine.state() != OrderState::ready) CPPUNIT_ASSERT(machine.step().has_value());
    for (unsigned time = 1; time <= 5; ++time) {
      const auto result = machine.step();
      CPPUNIT_ASSERT(result && result->wait == Wait::setback && machine.state() == OrderState::ready);
      CPPUNIT_ASSERT_EQUAL(time, machine.record().setbacks);
      const auto record = records_->load("www.example.test", KeyAlgorithm::ecdsa);
      CPPUNIT_ASSERT_EQUAL(time, (*record)->setbacks);
    }
    CPPUNIT_ASSERT_EQUAL(std::ptrdiff_t{1}, std::count(told.begin(), told.end(), "order_set_back"));
    CPPUNIT_ASSERT_EQUAL(std::ptrdiff_t{0}, std::count(told.begin(), told.end(), "finalized"));
    issuer_->twist = nullptr;
    CPPUNIT_ASSERT(drive(machine));
  }

  void the_diagram_in_the_documentation_is_the_table() {
    std::ifstream file(std::string(EVERCERT_TEST_DATA) + "/../../docs/explanation/order-states.md");
    std::stringstream text;
    text << file.rdbuf();
    CPPUNIT_ASSERT_MESSAGE("docs/explanation/order-states.md must hold:\n" + order_diagram(),
                           text.str().find(order_diagram()) != std::string::npos);
  }

 private:
  OrderMachine::Parts parts() { return {*issuer_, solver_, *keys_, *records_, clock_, events_}; }
  OrderMachine fresh() { return {parts(), certificate_, certificate_.keys.front(), {}}; }

  // Steps until something was issued, or the order has ended.
  std::optional<IssuedCertificate> drive(OrderMachine& machine) {
    for (int i = 0; i < 40; ++i) {
      auto result = machine.step();
      CPPUNIT_ASSERT_MESSAGE(result ? "" : result.error().message, result.has_value());
      if (result->issued) return std::move(result->issued);
      if (result->retry_after) clock_.advance(*result->retry_after);
      if (result->wait == Wait::ended) return std::nullopt;
    }
    return std::nullopt;
  }

  void check_pair(const IssuedCertificate& issued, const OrderRecord& record) {
    Bundle bundle;
    bundle.name = record.certificate;
    bundle.identifiers = record.identifiers;
    bundle.pairs.push_back({record.key, issued.leaf, issued.chain, record.private_key, ""});
    auto sound = verify_bundle(bundle, clock_.now());
    CPPUNIT_ASSERT_MESSAGE(sound ? "" : sound.error().message, sound.has_value());
  }

  StateDirectory state_;
  FakeClock clock_;
  Events events_;
  FakeSolver solver_;
  CertificateSpec certificate_;
  std::unique_ptr<FakeIssuer> issuer_;
  std::unique_ptr<OrderRecords> records_;
  std::unique_ptr<KeyProvider> keys_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(OrderMachineTest);

}  // namespace
}  // namespace evercert
