#include <cppunit/extensions/HelperMacros.h>

#include <deque>
#include <set>

#include "agent/commercial/certinext_v1.h"
#include "agent/commercial/certinext_v2.h"
#include "fake/fake_clock.h"
#include "serving/key/key_provider.h"

namespace evercert {
namespace {

struct Exchange {
  std::vector<HttpRequest> sent;
  std::deque<Result<HttpResponse>> answers;
};

struct WrittenDown : HttpClient {
  explicit WrittenDown(Exchange& to) : exchange(to) {}
  Result<HttpResponse> send(const HttpRequest& request) override {
    exchange.sent.push_back(request);
    auto answer = std::move(exchange.answers.front());
    exchange.answers.pop_front();
    return answer;
  }
  Exchange& exchange;
};

constexpr const char* good = R"("meta":{"status":"1"})";

// What both interfaces of CERTInext are asked, and what is made of their answers.
class CertinextTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(CertinextTest);
  CPPUNIT_TEST(a_repeat_has_a_number_and_a_time_of_its_own);
  CPPUNIT_TEST(what_changes_something_is_never_repeated);
  CPPUNIT_TEST(a_burst_is_told_from_an_inactive_account_by_the_login);
  CPPUNIT_TEST(a_wrong_key_that_is_refused_with_status_200_is_recognised);
  CPPUNIT_TEST(a_wrong_clock_is_named_whether_the_refusal_has_a_code_or_not);
  CPPUNIT_TEST(codes_are_found_anywhere_in_the_problem_of_the_second_interface);
  CPPUNIT_TEST(the_form_of_a_request_that_the_second_interface_reads_is_found_out);
  CPPUNIT_TEST(mails_of_the_second_interface_name_no_address_and_wait_for_the_click);
  CPPUNIT_TEST_SUITE_END();

 public:
  void setUp() override {
    exchange_ = {};
    spec_ = {};
    spec_.name = "shop";
    spec_.uri = "https://ca.test/";
    spec_.purchase.account = "1";
    spec_.purchase.secret = Secret::from_text("the-key");
    spec_.purchase.product = "842";
    spec_.purchase.variant = "dv";
    const auto key = make_file_keys()->generate({});
    wanted_ = {"a.test", {{IdentifierKind::dns, "a.test"}}, {}, {}, "ref", ""};
    wanted_.request = make_request(*key, wanted_.identifiers, false).value();
  }

  void a_repeat_has_a_number_and_a_time_of_its_own() {
    ended();
    answer(200, std::string("{") + good + R"(,"orderDetails":{"orderStatusId":"2"}})");
    CPPUNIT_ASSERT(v1().track("5").has_value());
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, exchange_.sent.size());
    CPPUNIT_ASSERT(meta(0).at("txn") != meta(1).at("txn") && meta(0).at("authKey") != meta(1).at("authKey"));
    const std::string number = meta(0).at("txn").get<std::string>();
    CPPUNIT_ASSERT(number.size() == 18 && number.find_first_not_of("0123456789") == std::string::npos);
  }

  void what_changes_something_is_never_repeated() {
    ended();
    const auto placed = v1().place(wanted_);
    CPPUNIT_ASSERT(!placed && placed.error().kind == ErrorKind::connection);
    ended();
    CPPUNIT_ASSERT(!v1().cancel("5", "why"));
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, exchange_.sent.size());
    CPPUNIT_ASSERT(exchange_.sent[0].own_connection && exchange_.sent[1].own_connection);
    CPPUNIT_ASSERT(exchange_.sent[0].timeout >= std::chrono::seconds(300));
  }

  void a_burst_is_told_from_an_inactive_account_by_the_login() {
    CertinextV1& api = v1();
    for (int i = 0; i < 5; ++i) {
      refuse("", "Inactive Account User.");
      answer(200, std::string("{") + good + "}");
      const auto limited = api.place(wanted_);
      CPPUNIT_ASSERT(!limited && limited.error().kind == ErrorKind::rate_limited && limited.error().retry_after);
      CPPUNIT_ASSERT(exchange_.sent.back().uri.ends_with("ValidateCredentials"));
    }
    refuse("", "Inactive Account User.");
    answer(200, std::string("{") + good + "}");
    CPPUNIT_ASSERT(api.place(wanted_).error().kind == ErrorKind::action_required);
    // The count is of one call, not of the account.
    wanted_.identifiers.front().value = "b.test";
    refuse("", "Inactive Account User.");
    answer(200, std::string("{") + good + "}");
    CPPUNIT_ASSERT(api.place(wanted_).error().kind == ErrorKind::rate_limited);
    refuse("", "Inactive Account User.");
    refuse("", "Inactive Account User.");
    const auto inactive = api.place(wanted_);
    CPPUNIT_ASSERT(inactive.error().kind == ErrorKind::action_required &&
                   inactive.error().message.find("whether the API user is active") != std::string::npos);
  }

  void a_wrong_key_that_is_refused_with_status_200_is_recognised() {
    for (const char* code : {"", "EMS-999"}) {
      refuse(code, "Invalid request");
      refuse(code, "Invalid request");
      const auto refused = v1().track("5");
      CPPUNIT_ASSERT(refused.error().kind == ErrorKind::action_required &&
                     refused.error().message.find("check account and secret") != std::string::npos);
      refuse(code, "Invalid request");
      answer(200, std::string("{") + good + "}");
      CPPUNIT_ASSERT(v1().place(wanted_).error().kind == ErrorKind::issuer_refused);
    }
    // What is said of an order leaves no doubt.
    refuse("EMS-913", "no such order");
    CPPUNIT_ASSERT(is_forgotten(v1().track("5").error()));
  }

  void a_wrong_clock_is_named_whether_the_refusal_has_a_code_or_not() {
    for (const char* code : {"", "EMS-999"}) {
      // The fake clock stands at 2027-01-15 08:00:00.
      refuse(code, "Invalid request", {{"Date", "Fri, 15 Jan 2027 08:30:00 GMT"}});
      const auto refused = v1().place(wanted_);
      CPPUNIT_ASSERT(refused.error().kind == ErrorKind::action_required &&
                     refused.error().message.find("1800 s apart") != std::string::npos);
    }
  }

  void codes_are_found_anywhere_in_the_problem_of_the_second_interface() {
    for (const char* problem : {R"({"detail":"[EMS-1180] Organization name is needed"})", R"({"title":"EMS-1180 no"})",
                                R"({"detail":"no","type":"https://ca.test/errors/EMS-1180"})"}) {
      token();
      answer(422, problem);
      const auto refused = v2().place(wanted_);
      CPPUNIT_ASSERT_MESSAGE(problem, !refused && code_of(refused.error()) == "EMS-1180");
      CPPUNIT_ASSERT(refused.error().message.find("EMS-1180") != std::string::npos);
    }
  }

  void the_form_of_a_request_that_the_second_interface_reads_is_found_out() {
    CertinextV2& api = v2();
    token();
    answer(422, R"({"detail":"EMS-921: cannot read"})");
    answer(201, R"({"orderId":"7"})");
    CPPUNIT_ASSERT_EQUAL(std::string("7"), *api.place(wanted_));
    CPPUNIT_ASSERT(sent(1).at("csr").get<std::string>().starts_with("-----BEGIN"));
    CPPUNIT_ASSERT(!sent(2).at("csr").get<std::string>().starts_with("-----BEGIN"));
    answer(201, R"({"orderId":"8"})");
    CPPUNIT_ASSERT_EQUAL(std::string("8"), *api.place(wanted_));
    CPPUNIT_ASSERT(!sent(3).at("csr").get<std::string>().starts_with("-----BEGIN"));
  }

  void mails_of_the_second_interface_name_no_address_and_wait_for_the_click() {
    token();
    answer(422, R"({"overallStatus":"FAILED"})");
    CPPUNIT_ASSERT(v2().verify("7", "a.test", ChallengeKind::email, "admin@a.test").has_value());
    CPPUNIT_ASSERT(sent(1).size() == 2 && sent(1).at("method") == "email");
    token();
    answer(422, R"({"overallStatus":"FAILED"})");
    CPPUNIT_ASSERT(!v2().verify("7", "a.test", ChallengeKind::dns_txt, ""));
  }

 private:
  CertinextV1& v1() {
    v1_ = std::make_unique<CertinextV1>(spec_, std::make_unique<WrittenDown>(exchange_), clock_);
    return *v1_;
  }
  CertinextV2& v2() {
    v2_ = std::make_unique<CertinextV2>(spec_, std::make_unique<WrittenDown>(exchange_), clock_);
    return *v2_;
  }
  void answer(int status, std::string body, std::vector<std::pair<std::string, std::string>> fields = {}) {
    HttpResponse response;
    response.status = status;
    response.body = std::move(body);
    response.fields = std::move(fields);
    exchange_.answers.emplace_back(std::move(response));
  }
  void refuse(const std::string& code, const std::string& said, std::vector<std::pair<std::string, std::string>> fields = {}) {
    answer(200, R"({"meta":{"status":"0","errorCode":")" + code + R"(","errorMessage":")" + said + "\"}}", std::move(fields));
  }
  void token() { answer(200, R"({"access_token":"t","expires_in":3600})"); }
  void ended() {
    exchange_.answers.emplace_back(Error{ErrorKind::connection, "closed", std::nullopt,
                                         std::make_shared<const Problem>(Problem{connection_ended, "", "", {}})});
  }
  [[nodiscard]] Json sent(std::size_t number) const { return Json::parse(exchange_.sent.at(number).body); }
  [[nodiscard]] Json meta(std::size_t number) const { return sent(number).at("meta"); }

  Exchange exchange_;
  IssuerSpec spec_;
  FakeClock clock_;
  std::unique_ptr<CertinextV1> v1_;
  std::unique_ptr<CertinextV2> v2_;
  Wanted wanted_;
};
CPPUNIT_TEST_SUITE_REGISTRATION(CertinextTest);

}  // namespace
}  // namespace evercert
