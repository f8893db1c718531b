#include <cppunit/extensions/HelperMacros.h>

#include <deque>

#include "agent/commercial/rest.h"
#include "fake/fake_clock.h"

namespace evercert {
namespace {

using namespace std::chrono_literals;

// Gives prepared answers and keeps what was asked.
class PreparedHttp : public HttpClient {
 public:
  Result<HttpResponse> send(const HttpRequest& request) override {
    asked.push_back(request);
    auto answer = std::move(answers.front());
    answers.pop_front();
    return answer;
  }
  std::deque<Result<HttpResponse>> answers;
  std::vector<HttpRequest> asked;
};

// What the clients of all commercial CAs make of answers, good and bad.
class RestTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(RestTest);
  CPPUNIT_TEST(a_json_body_is_sent_below_the_base_and_json_comes_back);
  CPPUNIT_TEST(a_form_and_a_whole_address_go_out_as_they_are);
  CPPUNIT_TEST(what_may_cost_money_goes_out_alone_and_is_waited_for_long);
  CPPUNIT_TEST(an_answer_without_a_body_is_an_answer);
  CPPUNIT_TEST(text_is_taken_as_it_is_when_it_was_asked_for);
  CPPUNIT_TEST(a_limit_carries_the_pause_that_the_ca_asks_for);
  CPPUNIT_TEST(a_web_page_is_named_by_its_title_whatever_its_status);
  CPPUNIT_TEST(half_an_answer_and_no_json_mean_that_it_may_have_happened);
  CPPUNIT_TEST(a_fault_of_the_server_is_quoted);
  CPPUNIT_TEST(no_answer_says_what_was_not_done);
  CPPUNIT_TEST(the_difference_of_the_clocks_is_known_from_the_date);
  CPPUNIT_TEST(secrets_line_ends_and_the_rest_of_a_novel_are_never_quoted);
  CPPUNIT_TEST(loose_texts_are_read_whatever_scalar_they_are);
  CPPUNIT_TEST(fields_of_forms_are_encoded);
  CPPUNIT_TEST(times_are_written_as_cas_want_them);
  CPPUNIT_TEST(serial_numbers_are_the_same_in_any_notation);
  CPPUNIT_TEST(a_request_becomes_pem_with_lines_of_64);
  CPPUNIT_TEST_SUITE_END();

  static HttpResponse answer(int status, const std::string& body,
                             std::vector<std::pair<std::string, std::string>> fields = {}) {
    HttpResponse response;
    response.status = status;
    response.body = body;
    response.fields = std::move(fields);
    return response;
  }

 public:
  void setUp() override {
    IssuerSpec spec;
    spec.name = "seller";
    spec.uri = "https://ca.test/api";
    secret_ = Secret::from_text("open sesame");
    auto http = std::make_unique<PreparedHttp>();
    http_ = http.get();
    rest_ = std::make_unique<RestClient>(spec, std::move(http), clock_, std::vector<const Secret*>{&secret_});
  }

  void a_json_body_is_sent_below_the_base_and_json_comes_back() {
    http_->answers.emplace_back(answer(201, R"({"id": 7})"));
    const auto got = rest_->send({"POST", "orders", "order", Json{{"name", "a.test"}}, {{"Login", "me"}}});
    CPPUNIT_ASSERT(got && got->good() && got->status == 201 && loose_text(got->json, "id") == "7");
    const HttpRequest& asked = http_->asked.front();
    CPPUNIT_ASSERT_EQUAL(std::string("https://ca.test/api/orders"), asked.uri);
    CPPUNIT_ASSERT_EQUAL(std::string("POST"), asked.method);
    CPPUNIT_ASSERT(asked.content_type.starts_with("application/json") && asked.headers.front().second == "me");
  }

  void a_form_and_a_whole_address_go_out_as_they_are() {
    http_->answers.emplace_back(answer(200, "{}"));
    RestRequest request{"POST", "https://login.test/token", "give a token"};
    request.form = "a=b";
    CPPUNIT_ASSERT(rest_->send(request).has_value());
    CPPUNIT_ASSERT_EQUAL(std::string("https://login.test/token"), http_->asked.front().uri);
    CPPUNIT_ASSERT_EQUAL(std::string("application/x-www-form-urlencoded"), http_->asked.front().content_type);
  }

  void what_may_cost_money_goes_out_alone_and_is_waited_for_long() {
    RestRequest order{"POST", "orders", "order", Json::object()};
    order.effect = RestRequest::Effect::places;
    for (int i = 0; i < 2; ++i) http_->answers.emplace_back(answer(200, "{}"));
    CPPUNIT_ASSERT(rest_->send(order) && rest_->send({"GET", "orders", "list"}));
    CPPUNIT_ASSERT(http_->asked[0].own_connection && http_->asked[0].timeout >= 300s);
    CPPUNIT_ASSERT(!http_->asked[1].own_connection && http_->asked[1].timeout == 0s);
  }

  void an_answer_without_a_body_is_an_answer() {
    http_->answers.emplace_back(answer(204, ""));
    const auto got = rest_->send({"PUT", "x", "do it"});
    CPPUNIT_ASSERT(got && got->good() && got->json.is_null());
  }

  void text_is_taken_as_it_is_when_it_was_asked_for() {
    RestRequest request{"GET", "certificate", "hand it out"};
    request.text = true;
    http_->answers.emplace_back(answer(200, "-----BEGIN"));
    CPPUNIT_ASSERT_EQUAL(std::string("-----BEGIN"), rest_->send(request)->text);
    http_->answers.emplace_back(answer(400, R"({"code": -1400})"));
    CPPUNIT_ASSERT_EQUAL(std::string("-1400"), loose_text(rest_->send(request)->json, "code"));
  }

  void a_limit_carries_the_pause_that_the_ca_asks_for() {
    http_->answers.emplace_back(answer(429, "slow down", {{"Retry-After", "17"}}));
    http_->answers.emplace_back(answer(429, ""));
    const auto limited = rest_->send({"GET", "x", "list our orders"});
    CPPUNIT_ASSERT(!limited && limited.error().kind == ErrorKind::rate_limited && limited.error().retry_after == 17s);
    CPPUNIT_ASSERT(limited.error().message.starts_with("issuer seller did not list our orders: "));
    CPPUNIT_ASSERT(!rest_->send({"GET", "x", "list"}).error().retry_after);
  }

  void a_web_page_is_named_by_its_title_whatever_its_status() {
    for (const int status : {200, 404, 503}) {
      http_->answers.emplace_back(answer(status, "\n<!DOCTYPE html><title>Back soon</title><body>much</body>"));
      const auto page = rest_->send({"GET", "x", "list"});
      CPPUNIT_ASSERT(!page && page.error().kind == ErrorKind::connection);
      CPPUNIT_ASSERT(page.error().message.find("Back soon") != std::string::npos);
      CPPUNIT_ASSERT(page.error().message.find("much") == std::string::npos);
    }
  }

  void half_an_answer_and_no_json_mean_that_it_may_have_happened() {
    for (const char* body : {R"({"id": )", "OK", "null null"}) {
      http_->answers.emplace_back(answer(200, body));
      const auto got = rest_->send({"POST", "x", "order"});
      CPPUNIT_ASSERT_MESSAGE(body, !got && got.error().kind == ErrorKind::connection);
    }
  }

  void a_fault_of_the_server_is_quoted() {
    http_->answers.emplace_back(answer(500, R"({"error":"out of order"})", {{"Retry-After", "60"}}));
    const auto got = rest_->send({"GET", "x", "list"});
    CPPUNIT_ASSERT(!got && got.error().kind == ErrorKind::connection && got.error().retry_after == 60s);
    CPPUNIT_ASSERT(got.error().message.find("500") != std::string::npos &&
                   got.error().message.find("out of order") != std::string::npos);
  }

  void no_answer_says_what_was_not_done() {
    http_->answers.emplace_back(Error{ErrorKind::connection, "the line is dead"});
    const auto got = rest_->send({"GET", "x", "track the order 5"});
    CPPUNIT_ASSERT(!got && got.error().kind == ErrorKind::connection);
    CPPUNIT_ASSERT(got.error().message.starts_with("issuer seller did not track the order 5") &&
                   got.error().message.ends_with("the line is dead"));
  }

  void the_difference_of_the_clocks_is_known_from_the_date() {
    // The fake clock stands at 2027-01-15 08:00:00.
    http_->answers.emplace_back(answer(400, "{}", {{"Date", "Fri, 15 Jan 2027 08:30:00 GMT"}}));
    http_->answers.emplace_back(answer(400, "{}", {{"Date", "yesterday"}}));
    CPPUNIT_ASSERT(rest_->send({"GET", "x", "list"})->clock_gap == 1800s);
    CPPUNIT_ASSERT(!rest_->send({"GET", "x", "list"})->clock_gap);
  }

  void secrets_line_ends_and_the_rest_of_a_novel_are_never_quoted() {
    CPPUNIT_ASSERT_EQUAL(std::string("key ... and ... are  wrong"),
                         rest_->quoted("key open sesame and open sesame are\r\nwrong").substr(0, 26));
    CPPUNIT_ASSERT_EQUAL(std::size_t{500}, rest_->quoted(std::string(5000, 'x')).size());
  }

  void loose_texts_are_read_whatever_scalar_they_are() {
    const Json json{{"text", "7"}, {"number", 7}, {"yes", true}, {"no", false}, {"nothing", nullptr}, {"list", {1}}};
    CPPUNIT_ASSERT(loose_text(json, "text") == "7" && loose_text(json, "number") == "7");
    CPPUNIT_ASSERT(loose_text(json, "yes") == "1" && loose_text(json, "no") == "0");
    for (const char* member : {"nothing", "list", "absent"}) CPPUNIT_ASSERT(loose_text(json, member).empty());
    CPPUNIT_ASSERT(loose_text(Json(5), "text").empty() && member_of(Json(5), "text").empty());
    CPPUNIT_ASSERT(member_of(json, "nothing").empty() && member_of(json, "list").is_array());
  }

  void fields_of_forms_are_encoded() {
    CPPUNIT_ASSERT_EQUAL(std::string("a.B-9_~"), form_field("a.B-9_~"));
    CPPUNIT_ASSERT(form_field("a b&c=d+e") == "a%20b%26c%3dd%2be" || form_field("a b&c=d+e") == "a%20b%26c%3Dd%2Be");
  }

  void times_are_written_as_cas_want_them() {
    CPPUNIT_ASSERT_EQUAL(std::string("2027-01-15"), date_of(clock_.now()));
    CPPUNIT_ASSERT_EQUAL(std::string("2027-01-15T08:00:00+00:00"), zoned_time_of(clock_.now()));
    CPPUNIT_ASSERT(day_of("2027-01-15T23:59:59Z") && date_of(*day_of("2027-01-15 12:00")) == "2027-01-15");
    for (const char* text : {"", "soon", "15/01/2027"}) CPPUNIT_ASSERT_MESSAGE(text, !day_of(text));
  }

  void serial_numbers_are_the_same_in_any_notation() {
    for (const char* theirs : {"0a1b2c", "A1B2C", "0A:1B:2C", "00:0a:1b:2c", "662316"}) {
      CPPUNIT_ASSERT_MESSAGE(theirs, same_serial("0a1b2c", theirs));
    }
    for (const char* theirs : {"", "0a1b2d", "1a1b2c"}) CPPUNIT_ASSERT_MESSAGE(theirs, !same_serial("0a1b2c", theirs));
  }

  void a_request_becomes_pem_with_lines_of_64() {
    const std::string pem = pem_of_request(Bytes(60, 1));
    CPPUNIT_ASSERT(pem.starts_with("-----BEGIN CERTIFICATE REQUEST-----\n") &&
                   pem.ends_with("-----END CERTIFICATE REQUEST-----\n"));
    CPPUNIT_ASSERT_EQUAL(std::size_t{36 + 64}, pem.find('\n', 36));
  }

 private:
  FakeClock clock_;
  Secret secret_;
  PreparedHttp* http_ = nullptr;
  std::unique_ptr<RestClient> rest_;
};
CPPUNIT_TEST_SUITE_REGISTRATION(RestTest);

}  // namespace
}  // namespace evercert
