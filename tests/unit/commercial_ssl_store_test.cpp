#include <cppunit/extensions/HelperMacros.h>

#include <deque>

#include "agent/commercial/ssl_store.h"
#include "fake/fake_clock.h"
#include "serving/key/key_provider.h"

namespace evercert {
namespace {

struct Exchange {
  std::vector<HttpRequest> sent;
  std::deque<std::string> answers;
};

struct WrittenDown : HttpClient {
  explicit WrittenDown(Exchange& to) : exchange(to) {}
  Result<HttpResponse> send(const HttpRequest& request) override {
    exchange.sent.push_back(request);
    HttpResponse response;
    response.status = 200;
    response.body = exchange.answers.front();
    exchange.answers.pop_front();
    return response;
  }
  Exchange& exchange;
};

constexpr const char* good = R"("AuthResponse":{"isError":false,"Message":null})";
constexpr const char* refused_login = R"({"AuthResponse":{"isError":true,"Message":["-9008 Token/Authentication Failure"]}})";

class SslStoreTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(SslStoreTest);
  CPPUNIT_TEST(who_asks_is_said_in_every_request_with_a_mark_of_its_own);
  CPPUNIT_TEST(the_ca_behind_a_product_decides_how_the_request_is_written);
  CPPUNIT_TEST(an_order_is_sent_once_and_carries_our_mark);
  CPPUNIT_TEST(an_order_is_found_by_our_mark_and_nothing_else);
  CPPUNIT_TEST(names_that_came_and_went_are_told_with_a_reissue);
  CPPUNIT_TEST(a_refusal_with_status_200_is_an_error_without_the_secret);
  CPPUNIT_TEST(any_other_refusal_than_of_the_login_passes_the_test_of_the_login);
  CPPUNIT_TEST(states_are_understood_with_the_end_of_the_order);
  CPPUNIT_TEST(an_answer_that_says_nothing_of_success_is_none);
  CPPUNIT_TEST_SUITE_END();

 public:
  void setUp() override {
    exchange_ = {};
    spec_ = {};
    spec_.name = "store";
    spec_.type = "ssl_store";
    spec_.uri = "https://store.test/rest";
    spec_.challenge = ChallengeKind::http_file;
    spec_.challenges = {spec_.challenge};
    spec_.purchase.account = "60048817";
    spec_.purchase.secret = Secret::from_text("the-token");
    spec_.purchase.product = "positivessl";
    spec_.purchase.term = 12;
    spec_.purchase.requester = {"Web Ops Team", "ops@example.com", "+1-5550100", ""};
    const auto key = make_file_keys()->generate({});
    CPPUNIT_ASSERT(key);
    wanted_ = {
        "a.test", {{IdentifierKind::dns, "a.test"}, {IdentifierKind::dns, "b.test"}}, {}, {}, "0123456789abcdef0123456789", ""};
    wanted_.request = make_request(*key, wanted_.identifiers, false).value();
  }

  void who_asks_is_said_in_every_request_with_a_mark_of_its_own() {
    for (int i = 0; i < 2; ++i) {
      answer(std::string("{") + good + "}");
      CPPUNIT_ASSERT(store().test_login());
    }
    const Json first = sent(0).at("AuthRequest");
    CPPUNIT_ASSERT(first.at("PartnerCode") == "60048817" && first.at("AuthToken") == "the-token");
    CPPUNIT_ASSERT(first.at("ReplayToken") != sent(1).at("AuthRequest").at("ReplayToken"));
    CPPUNIT_ASSERT_EQUAL(std::string("https://store.test/rest/order/status"), exchange_.sent[0].uri);
  }

  void the_ca_behind_a_product_decides_how_the_request_is_written() {
    place();
    CPPUNIT_ASSERT(sent(0).at("CSR").get<std::string>().find('\n') == std::string::npos);
    CPPUNIT_ASSERT(sent(0).at("SignatureHashAlgorithm") == "PREFER_SHA2" && sent(0).at("ApproverEmail") == "HTTP,HTTP");
    CPPUNIT_ASSERT(sent(0).at("CSRUniqueValue") == "0123456789abcdef0123");
    spec_.purchase.product = "digi_ssl_basic";
    spec_.purchase.organization = "81";
    place();
    CPPUNIT_ASSERT(sent(1).at("CSR").get<std::string>().starts_with("-----BEGIN%20CERTIFICATE"));
    CPPUNIT_ASSERT(sent(1).at("SignatureHashAlgorithm") == "sha256" && sent(1).at("TSSOrganizationId") == 81);
    CPPUNIT_ASSERT(!sent(1).contains("CSRUniqueValue"));
  }

  void an_order_is_sent_once_and_carries_our_mark() {
    spec_.purchase.custom_fields = {{"OrganizationName", "Example Ltd"}, {"City", "Exampleton"}, {"DUNS", "1"}};
    place();
    CPPUNIT_ASSERT(exchange_.sent[0].own_connection);
    CPPUNIT_ASSERT(sent(0).at("CustomOrderID") == "evercert-" + wanted_.reference);
    CPPUNIT_ASSERT(sent(0).at("AdminContact").at("FirstName") == "Web Ops" &&
                   sent(0).at("AdminContact").at("LastName") == "Team");
    CPPUNIT_ASSERT(sent(0).at("AdminContact").at("City") == "Exampleton" && !sent(0).at("AdminContact").contains("DUNS"));
    CPPUNIT_ASSERT(sent(0).at("OrganizationInfo").at("OrganizationAddress").at("City") == "Exampleton");
    CPPUNIT_ASSERT(sent(0).at("DNSNames") == Json::array({"b.test"}) && sent(0).at("ReserveSANCount") == 1);
  }

  void an_order_is_found_by_our_mark_and_nothing_else() {
    const std::string unknown = R"({"AuthResponse":{"isError":true,"Message":["There is no such order"]}})";
    answer("[]");
    answer(unknown);
    CPPUNIT_ASSERT(!*store().find(wanted_, {}));
    CPPUNIT_ASSERT(sent(1).at("CustomOrderID") == "evercert-" + wanted_.reference);
    const std::string row = R"({"TheSSLStoreOrderID":"7","CustomOrderID":"evercert-)" + wanted_.reference + "\"," + good + "}";
    answer("[" + row + "]");
    CPPUNIT_ASSERT_EQUAL(std::string("7"), **store().find(wanted_, {}));
    answer("[" + row + "]");
    answer(row);
    CPPUNIT_ASSERT(!*store().find(wanted_, {"7"}));
    answer(std::string(R"([{"TheSSLStoreOrderID":"8","CustomOrderID":"evercert-other",)") + good + "}]");
    answer(unknown);
    CPPUNIT_ASSERT(!*store().find(wanted_, {}));
    // The list may lag, or be empty because the token is wrong.
    answer("[]");
    answer(row);
    CPPUNIT_ASSERT_EQUAL(std::string("7"), **store().find(wanted_, {}));
    answer("[]");
    answer(refused_login);
    const auto nobody = store().find(wanted_, {});
    CPPUNIT_ASSERT(!nobody && nobody.error().kind == ErrorKind::action_required);
  }

  void names_that_came_and_went_are_told_with_a_reissue() {
    answer(std::string(R"({"TheSSLStoreOrderID":"7",)") + good + "}");
    CPPUNIT_ASSERT_EQUAL(std::string("7"), *store().reissue({"7", {"a.test", "c.test"}, "01", 0, 0, 0}, wanted_));
    CPPUNIT_ASSERT(exchange_.sent[0].own_connection);
    CPPUNIT_ASSERT(sent(0).at("AddSAN") == Json::array({{{"OldValue", ""}, {"NewValue", "b.test"}}}));
    CPPUNIT_ASSERT(sent(0).at("DeleteSAN") == Json::array({{{"OldValue", "c.test"}, {"NewValue", ""}}}));
    CPPUNIT_ASSERT(sent(0).at("ReissueEmail") == "ops@example.com");
  }

  void a_refusal_with_status_200_is_an_error_without_the_secret() {
    answer(refused_login);
    const auto placed = store().place(wanted_);
    CPPUNIT_ASSERT(!placed && placed.error().kind == ErrorKind::action_required);
    CPPUNIT_ASSERT(placed.error().message.find("check account") != std::string::npos);
    answer(R"({"AuthResponse":{"isError":true,"Message":["we do not like the-token"]}})");
    const auto again = store().place(wanted_);
    CPPUNIT_ASSERT(!again && again.error().kind == ErrorKind::issuer_refused);
    CPPUNIT_ASSERT(again.error().message.find("the-token") == std::string::npos);
  }

  void any_other_refusal_than_of_the_login_passes_the_test_of_the_login() {
    answer(R"({"AuthResponse":{"isError":true,"Message":["There is no such order"]}})");
    CPPUNIT_ASSERT(store().test_login());
    answer(refused_login);
    CPPUNIT_ASSERT(!store().test_login());
  }

  void states_are_understood_with_the_end_of_the_order() {
    const auto tracked = [this](const std::string& state) {
      answer("{\"OrderExpiryDate\":\"2/27/2027 3:04:05 PM\",\"OrderStatus\":{" + state + "}," + good + "}");
      return store().track("7");
    };
    const auto active = tracked(R"("MajorStatus":"Active","MinorStatus":"")");
    CPPUNIT_ASSERT(active && active->stage == Stage::issued);
    CPPUNIT_ASSERT(active->ends == std::chrono::system_clock::from_time_t(1'803'740'645));
    CPPUNIT_ASSERT(tracked(R"("MajorStatus":"Active","MinorStatus":"PENDING_REISSUE")")->stage == Stage::working);
    CPPUNIT_ASSERT(tracked(R"("MajorStatus":"Initial","MinorStatus":"")")->stage == Stage::working);
    CPPUNIT_ASSERT(tracked(R"("MajorStatus":"Cancelled","MinorStatus":"")")->stage == Stage::dead);
    const std::string proved =
        R"("MajorStatus":"Pending","DomainAuthVettingStatus":[{"domain":"a.test","dcvStatus":"Completed"}],)";
    CPPUNIT_ASSERT(
        tracked(proved + R"("AuthenticationStatuses":[{"AuthenticationStep":"Vetting","Status":"Pending"}])")->stage ==
        Stage::people);
  }

  void an_answer_that_says_nothing_of_success_is_none() {
    for (const char* text :
         {"{}", "[{}]", R"({"AuthResponse":{}})", R"({"AuthResponse":null,"TheSSLStoreOrderID":"7"})", "3"}) {
      answer(text);
      CPPUNIT_ASSERT_MESSAGE(text, !store().place(wanted_));
    }
  }

 private:
  SslStore& store() {
    store_ = std::make_unique<SslStore>(spec_, std::make_unique<WrittenDown>(exchange_), clock_);
    return *store_;
  }
  void answer(std::string text) { exchange_.answers.push_back(std::move(text)); }
  void place() {
    answer(std::string(R"({"TheSSLStoreOrderID":"7",)") + good + "}");
    CPPUNIT_ASSERT_EQUAL(std::string("7"), *store().place(wanted_));
  }
  [[nodiscard]] Json sent(std::size_t number) const { return Json::parse(exchange_.sent.at(number).body); }

  Exchange exchange_;
  IssuerSpec spec_;
  FakeClock clock_;
  std::unique_ptr<SslStore> store_;
  Wanted wanted_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(SslStoreTest);

}  // namespace
}  // namespace evercert
