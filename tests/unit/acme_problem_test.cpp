#include <cppunit/extensions/HelperMacros.h>

#include <future>

#include "agent/acme/directory.h"
#include "agent/acme/invalid_order.h"
#include "agent/acme/nonces.h"
#include "agent/acme/order.h"
#include "agent/acme/problem.h"

namespace evercert {
namespace {

using std::chrono::seconds;
const auto now = std::chrono::system_clock::from_time_t(1'795'312'800);  // 2026-11-22 02:00:00 UTC

HttpResponse answer(int status, std::string body, std::vector<std::pair<std::string, std::string>> fields = {}) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  response.fields = std::move(fields);
  return response;
}

std::string document(const std::string& type, const std::string& detail = "why") {
  return R"({"type":"urn:ietf:params:acme:error:)" + type + R"(","detail":")" + detail + "\"}";
}

class ProblemTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(ProblemTest);
  CPPUNIT_TEST(every_problem_type_of_a_request_has_its_kind);
  CPPUNIT_TEST(unauthorized_means_the_name_in_a_validation);
  CPPUNIT_TEST(a_compound_problem_takes_the_kind_of_its_parts);
  CPPUNIT_TEST(a_paused_name_needs_a_person);
  CPPUNIT_TEST(the_content_type_does_not_matter);
  CPPUNIT_TEST(an_answer_without_a_document_goes_by_its_status);
  CPPUNIT_TEST(subproblems_name_the_identifiers);
  CPPUNIT_TEST(the_only_reason_is_told_whole);
  CPPUNIT_TEST(a_limit_waits_as_long_as_the_header_says);
  CPPUNIT_TEST(a_limit_without_header_waits_until_the_time_in_its_detail);
  CPPUNIT_TEST(a_limit_that_says_nothing_waits_an_hour);
  CPPUNIT_TEST(retry_after_is_read_as_seconds_and_as_a_date);
  CPPUNIT_TEST(a_flood_of_subproblems_makes_a_short_sentence);
  CPPUNIT_TEST(control_characters_of_a_server_do_not_reach_a_sentence);
  CPPUNIT_TEST(a_document_of_wrong_types_is_no_problem_document);
  CPPUNIT_TEST_SUITE_END();

 public:
  void every_problem_type_of_a_request_has_its_kind() {
    const std::pair<const char*, ErrorKind> types[] = {{"accountDoesNotExist", ErrorKind::issuer_refused},
                                                       {"alreadyReplaced", ErrorKind::issuer_refused},
                                                       {"alreadyRevoked", ErrorKind::issuer_refused},
                                                       {"badCSR", ErrorKind::issuer_refused},
                                                       {"badNonce", ErrorKind::connection},
                                                       {"badPublicKey", ErrorKind::issuer_refused},
                                                       {"badRevocationReason", ErrorKind::issuer_refused},
                                                       {"badSignatureAlgorithm", ErrorKind::issuer_refused},
                                                       {"caa", ErrorKind::challenge_failed},
                                                       {"compound", ErrorKind::issuer_refused},
                                                       {"connection", ErrorKind::challenge_failed},
                                                       {"dns", ErrorKind::challenge_failed},
                                                       {"externalAccountRequired", ErrorKind::action_required},
                                                       {"incorrectResponse", ErrorKind::challenge_failed},
                                                       {"invalidContact", ErrorKind::action_required},
                                                       {"invalidProfile", ErrorKind::issuer_refused},
                                                       {"malformed", ErrorKind::issuer_refused},
                                                       {"orderNotReady", ErrorKind::issuer_refused},
                                                       {"rateLimited", ErrorKind::rate_limited},
                                                       {"rejectedIdentifier", ErrorKind::issuer_refused},
                                                       {"serverInternal", ErrorKind::connection},
                                                       {"tls", ErrorKind::challenge_failed},
                                                       {"unauthorized", ErrorKind::issuer_refused},
                                                       {"unsupportedContact", ErrorKind::action_required},
                                                       {"unsupportedIdentifier", ErrorKind::issuer_refused},
                                                       {"userActionRequired", ErrorKind::action_required}};
    for (const auto& [type, kind] : types) {
      const Error error = refusal(answer(403, document(type)), "issuer x", "accept an order", now);
      CPPUNIT_ASSERT_EQUAL_MESSAGE(type, std::string(to_string(kind)), std::string(to_string(error.kind)));
      CPPUNIT_ASSERT(is_problem(error, type));
      CPPUNIT_ASSERT(error.message.find(std::string("why (") + type + ")") != std::string::npos);
    }
  }

  void unauthorized_means_the_name_in_a_validation() {
    const Problem problem{"urn:ietf:params:acme:error:unauthorized", "404", "", {}};
    CPPUNIT_ASSERT(kind_of(problem, ProblemOf::validation, 200) == ErrorKind::challenge_failed);
    CPPUNIT_ASSERT(kind_of(problem, ProblemOf::request, 403) == ErrorKind::issuer_refused);
  }

  void a_compound_problem_takes_the_kind_of_its_parts() {
    const std::string part = "urn:ietf:params:acme:error:";
    Problem problem{part + "compound", "several", "", {{part + "rejectedIdentifier", "", "a"}, {part + "caa", "", "b"}}};
    CPPUNIT_ASSERT(kind_of(problem, ProblemOf::request, 400) == ErrorKind::challenge_failed);
    problem.subproblems.pop_back();
    CPPUNIT_ASSERT(kind_of(problem, ProblemOf::request, 400) == ErrorKind::issuer_refused);
  }

  void a_paused_name_needs_a_person() {
    const Error error =
        refusal(answer(429, document("rateLimited",
                                     "Your account is temporarily prevented from requesting certificates for a.example. "
                                     "Please visit: https://portal.example/unpause")),
                "issuer x", "accept an order", now);
    CPPUNIT_ASSERT(error.kind == ErrorKind::action_required);
    CPPUNIT_ASSERT(error.message.find("https://portal.example/unpause") != std::string::npos);
  }

  void the_content_type_does_not_matter() {
    const Error error = refusal(answer(400, document("badCSR"), {{"Content-Type", "text/html"}}), "issuer x", "finalize", now);
    CPPUNIT_ASSERT(is_problem(error, "badCSR"));
  }

  void an_answer_without_a_document_goes_by_its_status() {
    CPPUNIT_ASSERT(refusal(answer(503, "<html>", {{"Retry-After", "7"}}), "x", "y", now).kind == ErrorKind::connection);
    CPPUNIT_ASSERT(refusal(answer(503, "<html>", {{"Retry-After", "7"}}), "x", "y", now).retry_after == seconds(7));
    CPPUNIT_ASSERT(refusal(answer(429, ""), "x", "y", now).kind == ErrorKind::connection);
    CPPUNIT_ASSERT(refusal(answer(404, ""), "x", "y", now).kind == ErrorKind::issuer_refused);
    CPPUNIT_ASSERT(refusal(answer(500, "{}"), "x", "y", now).message.find("HTTP status 500") != std::string::npos);
  }

  void subproblems_name_the_identifiers() {
    const Error error =
        refusal(answer(400, R"({"type":"urn:ietf:params:acme:error:malformed","detail":"two names","subproblems":[
          {"type":"urn:ietf:params:acme:error:malformed","detail":"bad","identifier":{"type":"dns","value":"_x.example"}},
          {"type":"urn:ietf:params:acme:error:rejectedIdentifier","identifier":{"type":"dns","value":"y.example"}}, 7]})"),
                "issuer x", "accept an order", now);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, error.problem->subproblems.size());
    CPPUNIT_ASSERT_EQUAL(std::string("_x.example"), error.problem->subproblems[0].identifier);
    CPPUNIT_ASSERT_EQUAL(std::string("issuer x refused to accept an order: two names (malformed); _x.example: bad (malformed); "
                                     "y.example: rejectedIdentifier"),
                         error.message);
  }

  void the_only_reason_is_told_whole() {
    const std::string reason = "Get \"http://www.example.com:80/.well-known/acme-challenge/" + std::string(43, 't') +
                               "\": dial tcp: could not resolve www.example.com on 127.0.0.1:53: no such host";
    OrderResource order;
    AuthorizationResource authorization;
    authorization.identifier = {IdentifierKind::dns, "www.example.com"};
    authorization.challenges.emplace_back().problem = Problem{"urn:ietf:params:acme:error:connection", reason, "", {}};
    const Error error = why_invalid("issuer x", order, {authorization}, now);
    CPPUNIT_ASSERT_EQUAL("issuer x could not validate www.example.com: " + reason + " (connection)", error.message);
  }

  void a_limit_waits_as_long_as_the_header_says() {
    const Error error = refusal(
        answer(429, document("rateLimited", "retry after 2026-11-22 03:00:00 UTC"), {{"Retry-After", "90"}}), "x", "y", now);
    CPPUNIT_ASSERT(error.retry_after == seconds(90));
  }

  void a_limit_without_header_waits_until_the_time_in_its_detail() {
    const Error error =
        refusal(answer(429, document("rateLimited", "too many certificates, retry after 2026-11-22 02:30:00 UTC: see docs")),
                "x", "y", now);
    CPPUNIT_ASSERT(error.retry_after == seconds(1800));
    CPPUNIT_ASSERT(retry_after_in("retry after 2026-11-22T01:00:00Z", now) == seconds(1));
    CPPUNIT_ASSERT(retry_after_in("retry after 9990-01-01T00:00:00Z", now) == std::chrono::hours(24));
    CPPUNIT_ASSERT(!retry_after_in("retry after lunch", now));
    CPPUNIT_ASSERT(!retry_after_in("", now));
  }

  void a_limit_that_says_nothing_waits_an_hour() {
    CPPUNIT_ASSERT(refusal(answer(429, document("rateLimited")), "x", "y", now).retry_after == std::chrono::hours(1));
  }

  void retry_after_is_read_as_seconds_and_as_a_date() {
    const auto read = [](const char* value) { return retry_after_of(answer(200, "", {{"retry-after", value}}), now); };
    CPPUNIT_ASSERT(read("120") == seconds(120));
    CPPUNIT_ASSERT(read("Sun, 22 Nov 2026 02:05:00 GMT") == seconds(300));
    // What has passed is no wait, and what lies in 2030 is none that anybody means.
    CPPUNIT_ASSERT(read("Sun, 22 Nov 2026 01:00:00 GMT") == seconds(1));
    CPPUNIT_ASSERT(read("Sun, 22 Nov 2030 01:00:00 GMT") == std::chrono::hours(24));
    CPPUNIT_ASSERT(read("0") == seconds(1));
    CPPUNIT_ASSERT(read("99999999") == std::chrono::hours(24));
    CPPUNIT_ASSERT(!read("soon"));
    CPPUNIT_ASSERT(read("99999999999999999999") == std::chrono::hours(24));
    CPPUNIT_ASSERT(!read("-5"));
    CPPUNIT_ASSERT(!retry_after_of(answer(200, ""), now));
  }

  void a_flood_of_subproblems_makes_a_short_sentence() {
    std::string parts;
    for (int index = 0; index < 400; ++index)
      parts += std::string(index == 0 ? "" : ",") + R"({"type":"urn:ietf:params:acme:error:caa","detail":")" +
               std::string(950, 'x') + R"(","identifier":{"type":"dns","value":"n)" + std::to_string(index) + R"(.example"}})";
    const Error error =
        refusal(answer(403, R"({"type":"urn:ietf:params:acme:error:compound","detail":"many","subproblems":[)" + parts + "]}"),
                "x", "y", now);
    CPPUNIT_ASSERT_MESSAGE(error.message, error.message.size() < 1500);
    CPPUNIT_ASSERT(error.message.find("n0.example: xxx") != std::string::npos);
    CPPUNIT_ASSERT_MESSAGE(error.message, error.message.ends_with("; and 95 more"));
    for (const auto& sub : error.problem->subproblems) CPPUNIT_ASSERT(sub.detail.size() <= 500);
  }

  void control_characters_of_a_server_do_not_reach_a_sentence() {
    const Error error = refusal(answer(400, document("malformed", "a\\nb\\u001b[31m\\u009b\\u202e")), "x", "y", now);
    CPPUNIT_ASSERT_EQUAL(std::string("x refused to y: a b\\x1b[31m\\u009b\\u202e (malformed)"), error.message);
  }

  void a_document_of_wrong_types_is_no_problem_document() {
    CPPUNIT_ASSERT(!read_problem(R"({"type":7,"detail":[]})"));
    CPPUNIT_ASSERT(!read_problem("[]"));
    CPPUNIT_ASSERT(!read_problem("{"));
    CPPUNIT_ASSERT(read_problem(R"({"detail":"only this","subproblems":{}})"));
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(ProblemTest);

class DirectoryTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(DirectoryTest);
  CPPUNIT_TEST(all_that_is_offered_is_read);
  CPPUNIT_TEST(a_page_that_is_no_directory_says_so);
  CPPUNIT_TEST(an_encrypted_directory_must_not_lead_to_plain_http);
  CPPUNIT_TEST_SUITE_END();

 public:
  void all_that_is_offered_is_read() {
    auto directory = parse_directory(R"({"newNonce":"https://c/n","newAccount":"https://c/a","newOrder":"https://c/o",
      "revokeCert":"https://c/r","renewalInfo":"https://c/i","x":{},"meta":{"termsOfService":"https://c/t",
      "externalAccountRequired":true,"profiles":{"tlsserver":"45 days","odd":3}}})",
                                     "https://c/dir");
    CPPUNIT_ASSERT(directory);
    CPPUNIT_ASSERT_EQUAL(std::string("https://c/i"), directory->renewal_info);
    CPPUNIT_ASSERT(directory->external_account_required);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, directory->profiles.size());
    CPPUNIT_ASSERT(directory->key_change.empty());
  }

  void a_page_that_is_no_directory_says_so() {
    for (const char* text :
         {"<html>", "[]", "{}", R"({"newNonce":1})", R"({"newNonce":"https://c/n","newAccount":"https://c/a"})"}) {
      auto directory = parse_directory(text, "https://c/dir");
      CPPUNIT_ASSERT(!directory && directory.error().kind == ErrorKind::connection);
      CPPUNIT_ASSERT(directory.error().message.find("https://c/dir") != std::string::npos);
    }
  }

  void an_encrypted_directory_must_not_lead_to_plain_http() {
    const char* text = R"({"newNonce":"http://c/n","newAccount":"http://c/a","newOrder":"http://c/o"})";
    CPPUNIT_ASSERT(!parse_directory(text, "https://c/dir"));
    CPPUNIT_ASSERT(parse_directory(text, "http://c/dir"));
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(DirectoryTest);

class TurnedClock : public Clock {
 public:
  [[nodiscard]] std::chrono::system_clock::time_point now() const override { return time; }
  std::chrono::system_clock::time_point time = ::evercert::now;
};

class NoncesTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(NoncesTest);
  CPPUNIT_TEST(the_newest_comes_first_and_each_once);
  CPPUNIT_TEST(no_more_than_the_newest_thirty_two_are_kept);
  CPPUNIT_TEST(none_older_than_ten_minutes_is_given);
  CPPUNIT_TEST(what_is_not_base64url_is_not_kept);
  CPPUNIT_TEST(a_request_waits_for_the_nonce_that_another_brings_back);
  CPPUNIT_TEST(a_request_fetches_a_nonce_when_another_ends_without_one);
  CPPUNIT_TEST(a_slow_request_does_not_hold_up_others);
  CPPUNIT_TEST(the_end_of_the_program_ends_waiting);
  CPPUNIT_TEST_SUITE_END();

 public:
  void the_newest_comes_first_and_each_once() {
    Nonces nonces(clock_);
    nonces.put("a");
    nonces.put("b");
    CPPUNIT_ASSERT(take(nonces) == "b");
    CPPUNIT_ASSERT(take(nonces) == "a");
    CPPUNIT_ASSERT(!take(nonces));
  }

  void no_more_than_the_newest_thirty_two_are_kept() {
    Nonces nonces(clock_);
    for (int i = 0; i < 40; ++i) nonces.put("n" + std::to_string(i));
    for (int i = 39; i >= 8; --i) CPPUNIT_ASSERT(take(nonces) == "n" + std::to_string(i));
    CPPUNIT_ASSERT(!take(nonces));
  }

  void none_older_than_ten_minutes_is_given() {
    Nonces nonces(clock_);
    nonces.put("a");
    clock_.time += std::chrono::minutes(10) + seconds(1);
    CPPUNIT_ASSERT(!take(nonces));
  }

  void what_is_not_base64url_is_not_kept() {
    Nonces nonces(clock_);
    nonces.put("");
    nonces.put("a b");
    nonces.put("\"");
    CPPUNIT_ASSERT(!take(nonces));
  }

  void a_request_waits_for_the_nonce_that_another_brings_back() {
    Nonces nonces(clock_);
    Turns turns(nonces);
    auto waiting = std::async(std::launch::async, [&] { return take(nonces); });
    nonces.put("brought");
    const auto got = waiting.get();
    // Where this thread was held up for longer than the waiting lasts, the nonce is still there.
    CPPUNIT_ASSERT((got ? got : take(nonces)) == "brought");
  }

  void a_request_fetches_a_nonce_when_another_ends_without_one() {
    Nonces nonces(clock_);
    auto turns = std::make_unique<Turns>(nonces);
    auto waiting = std::async(std::launch::async, [&] { return take(nonces); });
    turns.reset();
    CPPUNIT_ASSERT(!waiting.get());
    CPPUNIT_ASSERT(!take(nonces));
  }

  void a_slow_request_does_not_hold_up_others() {
    Nonces nonces(clock_);
    Turns turns(nonces);
    // It ends although those that were first still have theirs; that it waits at all, other tests show.
    CPPUNIT_ASSERT(!take(nonces));
  }

  void the_end_of_the_program_ends_waiting() {
    Nonces nonces(clock_);
    Turns turns(nonces);
    std::stop_source stop;
    stop.request_stop();
    CPPUNIT_ASSERT(!Nonces::Turn(nonces).take(stop.get_token()));
  }

 private:
  // As many requests under way as fetch nonces without waiting.
  struct Turns {
    explicit Turns(Nonces& nonces) {
      for (std::size_t i = 0; i < Nonces::enough; ++i) {
        turns.push_back(std::make_unique<Nonces::Turn>(nonces));
        CPPUNIT_ASSERT(!turns.back()->take({}));
      }
    }
    std::vector<std::unique_ptr<Nonces::Turn>> turns;
  };
  static std::optional<std::string> take(Nonces& nonces) { return Nonces::Turn(nonces).take({}); }

  TurnedClock clock_;
};
CPPUNIT_TEST_SUITE_REGISTRATION(NoncesTest);

class OrderResourceTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(OrderResourceTest);
  CPPUNIT_TEST(a_detail_gives_the_order_again);
  CPPUNIT_TEST(garbled_orders_are_worth_asking_again);
  CPPUNIT_TEST(a_damaged_detail_is_an_error);
  CPPUNIT_TEST(challenges_of_unknown_shape_are_passed_over);
  CPPUNIT_TEST(links_are_found_in_one_header_or_several);
  CPPUNIT_TEST_SUITE_END();

 public:
  void a_detail_gives_the_order_again() {
    auto order = parse_order(R"({"status":"ready","identifiers":[{"type":"dns","value":"b"},{"type":"dns","value":"a"}],
      "authorizations":["https://c/z/1","https://c/z/2"],"finalize":"https://c/f"})",
                             "https://c/o/1");
    CPPUNIT_ASSERT(order);
    CPPUNIT_ASSERT_EQUAL(std::string("a"), order->identifiers.front().value);
    order->request_key = "abc";
    auto again = order_of({"https://c/o/1", order->status, order->to_detail(), {}, {}});
    CPPUNIT_ASSERT(again);
    CPPUNIT_ASSERT(again->authorizations == order->authorizations);
    CPPUNIT_ASSERT_EQUAL(std::string("https://c/f"), again->finalize);
    CPPUNIT_ASSERT_EQUAL(std::string("abc"), again->request_key);
    CPPUNIT_ASSERT(again->status == IssuerOrderStatus::ready);
  }

  void garbled_orders_are_worth_asking_again() {
    for (const char* text : {"", "[]", "{}", R"({"status":"odd"})", R"({"status":7})",
                             R"({"status":"valid","authorizations":7})", R"({"status":"valid","identifiers":[7]})"}) {
      auto order = parse_order(text, "https://c/o/1");
      CPPUNIT_ASSERT_MESSAGE(text, !order && order.error().kind == ErrorKind::connection);
    }
  }

  void a_damaged_detail_is_an_error() {
    for (const char* detail : {"", "[]", "x", R"({"authorizations":"no list"})"}) {
      auto order = order_of({"https://c/o/1", IssuerOrderStatus::pending, detail, {}, {}});
      CPPUNIT_ASSERT_MESSAGE(detail, !order && order.error().kind == ErrorKind::internal);
    }
  }

  void challenges_of_unknown_shape_are_passed_over() {
    auto authorization = parse_authorization(
        R"({"status":"pending","identifier":{"type":"dns","value":"a"},"wildcard":true,"challenges":[7,{"type":3},
        {"type":"new-01","url":"https://c/1"},{"type":"http-01","url":"https://c/2","token":"t"}]})",
        "https://c/z");
    CPPUNIT_ASSERT(authorization);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, authorization->challenges.size());
    CPPUNIT_ASSERT(authorization->wildcard);
  }

  void links_are_found_in_one_header_or_several() {
    const HttpResponse response = answer(200, "",
                                         {{"Link", "<https://c/1>;rel=\"alternate\", <https://c/2>; rel=alternate"},
                                          {"link", "<https://c/dir>;rel=\"index\""},
                                          {"Link", "</relative>;rel=\"alternate\", <https://c/3>;rel=alternative"}});
    CPPUNIT_ASSERT((links(response, "alternate") == std::vector<std::string>{"https://c/1", "https://c/2"}));
    CPPUNIT_ASSERT((links(response, "index") == std::vector<std::string>{"https://c/dir"}));
    CPPUNIT_ASSERT(links(answer(200, "", {{"Link", "<broken"}}), "next").empty());
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(OrderResourceTest);

}  // namespace
}  // namespace evercert
