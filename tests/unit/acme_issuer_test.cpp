// States that no test server produces, from a scripted one.
#include "agent/acme/acme_issuer.h"

#include <cppunit/extensions/HelperMacros.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <fstream>
#include <future>
#include <iterator>
#include <map>
#include <thread>

#include "agent/lead/make_issuer.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"
#include "serving/key/key_provider.h"

namespace evercert {
namespace {

HttpResponse response(int status, std::string body, std::vector<std::pair<std::string, std::string>> fields = {}) {
  HttpResponse made;
  made.status = status;
  made.body = std::move(body);
  made.fields = std::move(fields);
  return made;
}

HttpResponse problem(int status, const std::string& type, const std::string& nonce = "") {
  HttpResponse made = response(status, R"({"type":"urn:ietf:params:acme:error:)" + type + R"(","detail":"because"})");
  if (!nonce.empty()) made.fields.emplace_back("Replay-Nonce", nonce);
  return made;
}

const char* const order_body = R"({"status":"%","identifiers":[{"type":"dns","value":"a.example"}],
  "authorizations":["https://ca/authz"],"finalize":"https://ca/finalize","certificate":"https://ca/certificate"})";

std::string order(const std::string& status) {
  std::string text = order_body;
  return text.replace(text.find('%'), 1, status);
}

// Answers by address; the last answer of an address stays.
struct Script {
  std::map<std::string, std::deque<Result<HttpResponse>>> answers;
  std::vector<std::string> seen;  // addresses, in order
  std::vector<std::string> nonces;
};

class ScriptedClient : public HttpClient {
 public:
  explicit ScriptedClient(Script& script) : script_(script) {}
  Result<HttpResponse> send(const HttpRequest& request) override {
    script_.seen.push_back(request.uri);
    if (!request.body.empty()) {
      const auto header = from_base64url((*parse_json(request.body, "jws"))["protected"].get<std::string>());
      script_.nonces.push_back(
          (*parse_json(std::string(header->begin(), header->end()), "header"))["nonce"].get<std::string>());
    }
    auto& answers = script_.answers[request.uri];
    if (answers.empty()) return Error{ErrorKind::internal, "the script has no answer for " + request.uri};
    auto answer = answers.front();
    if (answers.size() > 1) answers.pop_front();
    return answer;
  }

 private:
  Script& script_;
};

// Answers nothing before it is told to give up.
class SilentClient : public HttpClient {
 public:
  SilentClient(std::promise<void>& asked, std::shared_future<void> give_up) : asked_(asked), give_up_(std::move(give_up)) {}
  Result<HttpResponse> send(const HttpRequest&) override {
    const int number = ++requests_;
    if (number == 1) asked_.set_value();
    give_up_.wait();
    return Error{ErrorKind::connection, "silence " + std::to_string(number)};
  }
  [[nodiscard]] int requests() const { return requests_; }

 private:
  std::promise<void>& asked_;
  const std::shared_future<void> give_up_;
  std::atomic<int> requests_{0};
};

// Until the kernel says that the thread, which has nothing to do but to get there, waits for something.
void wait_until_asleep(pid_t thread) {
  for (;;) {
    std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
    const std::string stat{std::istreambuf_iterator<char>(file), {}};
    const auto name_end = stat.rfind(')');
    if (name_end == std::string::npos || stat.at(name_end + 2) == 'S') return;
    std::this_thread::yield();
  }
}

class OneRecord : public AccountRecords {
 public:
  Result<std::optional<AccountRecord>> load(const std::string&) override { return record; }
  Result<AccountRecord> add(const std::string&, const AccountRecord& added) override {
    if (!record) record = added;
    return *record;
  }
  Result<Done> save(const std::string&, const AccountRecord& saved) override {
    if (full) return Error{ErrorKind::storage, "disk full"};
    record = saved;
    return Done{};
  }
  std::optional<AccountRecord> record;
  bool full = false;
};

class TurnedClock : public Clock {
 public:
  [[nodiscard]] std::chrono::system_clock::time_point now() const override { return time; }
  std::chrono::system_clock::time_point time = std::chrono::system_clock::from_time_t(1'795'312'800);
};

class AcmeIssuerTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(AcmeIssuerTest);
  CPPUNIT_TEST(an_order_that_is_ready_at_once_needs_no_more_questions);
  CPPUNIT_TEST(a_nonce_refused_is_replaced_by_that_of_the_refusal);
  CPPUNIT_TEST(a_server_that_refuses_all_its_nonces_is_given_up);
  CPPUNIT_TEST(a_limit_comes_back_with_its_wait);
  CPPUNIT_TEST(an_order_finalized_already_is_looked_at);
  CPPUNIT_TEST(the_end_of_an_order_is_told_by_our_clock);
  CPPUNIT_TEST(an_address_that_moved_is_looked_up_again);
  CPPUNIT_TEST(the_directory_is_kept_for_a_day);
  CPPUNIT_TEST(garbage_with_status_200_is_worth_asking_again);
  CPPUNIT_TEST(an_order_the_server_does_not_know_is_refused);
  CPPUNIT_TEST(a_chain_that_cannot_be_read_is_worth_asking_again);
  CPPUNIT_TEST(a_server_without_a_list_of_orders_finds_nothing);
  CPPUNIT_TEST(an_account_that_cannot_be_kept_is_an_error);
  CPPUNIT_TEST(a_lost_connection_is_reported_and_not_repeated);
  CPPUNIT_TEST(an_unknown_type_of_issuer_is_refused);
  CPPUNIT_TEST(no_address_without_encryption_gets_a_signed_request);
  CPPUNIT_TEST(a_refused_registration_is_told_by_what_the_ca_says);
  CPPUNIT_TEST(changed_terms_are_told_with_the_link_of_the_ca);
  CPPUNIT_TEST(what_is_no_directory_is_told_as_such);
  CPPUNIT_TEST(whoever_waited_for_a_directory_that_failed_has_its_error);
  CPPUNIT_TEST_SUITE_END();

 public:
  void setUp() override {
    script_ = {};
    records_ = {};
    script_.answers["https://ca/dir"] = {directory("https://ca/order")};
    script_.answers["https://ca/nonce"] = {response(200, "", {{"Replay-Nonce", "first"}})};
    script_.answers["https://ca/account"] = {
        response(201, R"({"status":"valid"})", {{"Location", "https://ca/account/1"}, {"Replay-Nonce", "n1"}})};
    script_.answers["https://ca/account/1"] = {response(200, R"({"status":"valid"})", {{"Replay-Nonce", "n2"}})};
    spec_.name = "example";
    spec_.uri = "https://ca/dir";
    issuer_ = make_acme_issuer(spec_, std::make_unique<ScriptedClient>(script_), {records_, events_, clock_});
    key_ = std::move(make_file_keys()->generate({}).value());
    wanted_ = {"a.example", {{IdentifierKind::dns, "a.example"}}, {}, {}, "ref"};
    wanted_.request = make_request(key_, wanted_.identifiers, false).value();
  }

  void an_order_that_is_ready_at_once_needs_no_more_questions() {
    place("ready");
    const auto placed = issuer_->place(wanted_);
    CPPUNIT_ASSERT(placed && placed->status == IssuerOrderStatus::ready);
    script_.answers["https://ca/finalize"] = {response(200, order("valid"), {{"Replay-Nonce", "n4"}})};
    const auto finalized = issuer_->finalize(*placed, wanted_);
    CPPUNIT_ASSERT(finalized && finalized->status == IssuerOrderStatus::valid);
    CPPUNIT_ASSERT_EQUAL(std::size_t{5}, script_.seen.size());  // directory, nonce, account, order, finalize
  }

  void a_nonce_refused_is_replaced_by_that_of_the_refusal() {
    script_.answers["https://ca/order"] = {problem(400, "badNonce", "second"), problem(400, "badNonce", "third"),
                                           response(201, order("pending"), {{"Location", "https://ca/order/1"}})};
    CPPUNIT_ASSERT(issuer_->place(wanted_));
    CPPUNIT_ASSERT((script_.nonces == std::vector<std::string>{"first", "n1", "second", "third"}));
  }

  void a_server_that_refuses_all_its_nonces_is_given_up() {
    std::stop_source stopped;
    stopped.request_stop();  // so that the pauses between the later attempts are none
    issuer_ =
        make_acme_issuer(spec_, std::make_unique<ScriptedClient>(script_), {records_, events_, clock_, stopped.get_token()});
    script_.answers["https://ca/order"] = {problem(400, "badNonce", "again")};
    const auto placed = issuer_->place(wanted_);
    CPPUNIT_ASSERT(!placed && placed.error().kind == ErrorKind::connection);
    CPPUNIT_ASSERT_EQUAL(std::ptrdiff_t{11}, std::count(script_.seen.begin(), script_.seen.end(), "https://ca/order"));
  }

  void a_limit_comes_back_with_its_wait() {
    auto limited = problem(429, "rateLimited");
    limited.fields.emplace_back("Retry-After", "77");
    script_.answers["https://ca/order"] = {limited};
    const auto placed = issuer_->place(wanted_);
    CPPUNIT_ASSERT(!placed && placed.error().kind == ErrorKind::rate_limited);
    CPPUNIT_ASSERT(placed.error().retry_after == std::chrono::seconds(77));
  }

  void an_order_finalized_already_is_looked_at() {
    place("ready");
    const auto placed = issuer_->place(wanted_);
    script_.answers["https://ca/finalize"] = {problem(403, "orderNotReady")};
    script_.answers["https://ca/order/1"] = {response(200, order("valid"))};
    const auto finalized = issuer_->finalize(*placed, wanted_);
    CPPUNIT_ASSERT(finalized && finalized->status == IssuerOrderStatus::valid);
  }

  void the_end_of_an_order_is_told_by_our_clock() {
    // The server's clock is a day behind ours, which says 2026-11-22T02:00:00Z.
    const std::pair<std::string, std::string> date{"Date", "Sat, 21 Nov 2026 02:00:00 GMT"};
    const auto saying = [](std::string text, const std::string& expires) {
      return text.insert(1, "\"expires\":\"" + expires + "\",");
    };
    const auto ends = [&](const Result<IssuerOrder>& order) {
      CPPUNIT_ASSERT(order);
      return order->expires ? std::optional(std::chrono::duration_cast<std::chrono::minutes>(*order->expires - clock_.time))
                            : std::nullopt;
    };
    using std::chrono::minutes;
    place("pending");
    auto placed = issuer_->place(wanted_);
    CPPUNIT_ASSERT(!ends(placed));
    auto& order_answers = script_.answers["https://ca/order/1"];
    order_answers = {response(200, saying(order("pending"), "2026-11-21T05:00:00.25+02:00"), {date})};
    CPPUNIT_ASSERT(ends(issuer_->refresh(*placed)) == minutes(60));
    order_answers = {response(200, saying(order("pending"), "soon"))};
    CPPUNIT_ASSERT(!ends(issuer_->refresh(*placed)));
    // Where the order does not say, the first of what it waits for does.
    script_.answers["https://ca/authz"] = {
        response(200,
                 R"({"status":"pending","expires":"2026-11-21T02:30:00Z","identifier":{"type":"dns","value":"a.example"},
                     "challenges":[{"type":"http-01","url":"https://ca/challenge","token":"t"}]})",
                 {date})};
    CPPUNIT_ASSERT(issuer_->challenges(*placed));
    CPPUNIT_ASSERT(ends(placed) == minutes(30));
    order_answers = {response(200, order("pending"))};
    CPPUNIT_ASSERT(ends(issuer_->refresh(*placed)) == minutes(30));
    order_answers = {response(200, order("processing"))};
    CPPUNIT_ASSERT(!ends(issuer_->refresh(*placed)));
  }

  void an_address_that_moved_is_looked_up_again() {
    script_.answers["https://ca/dir"] = {directory("https://ca/order"), directory("https://ca/new-place")};
    script_.answers["https://ca/order"] = {response(404, "gone")};
    script_.answers["https://ca/new-place"] = {response(201, order("pending"), {{"Location", "https://ca/order/1"}})};
    CPPUNIT_ASSERT(issuer_->place(wanted_));
    CPPUNIT_ASSERT_EQUAL(std::string("https://ca/new-place"), script_.seen.back());
  }

  void the_directory_is_kept_for_a_day() {
    place("pending");
    const auto reads = [this] { return std::count(script_.seen.begin(), script_.seen.end(), "https://ca/dir"); };
    for (int hour = 0; hour < 20; hour += 10, clock_.time += std::chrono::hours(10)) CPPUNIT_ASSERT(issuer_->place(wanted_));
    CPPUNIT_ASSERT_EQUAL(std::ptrdiff_t{1}, reads());
    clock_.time += std::chrono::hours(5);
    CPPUNIT_ASSERT(issuer_->place(wanted_));
    CPPUNIT_ASSERT_EQUAL(std::ptrdiff_t{2}, reads());
  }

  void garbage_with_status_200_is_worth_asking_again() {
    place("pending");
    const auto placed = issuer_->place(wanted_);
    script_.answers["https://ca/order/1"] = {response(200, "<html>")};
    const auto refreshed = issuer_->refresh(*placed);
    CPPUNIT_ASSERT(!refreshed && refreshed.error().kind == ErrorKind::connection);
  }

  void an_order_the_server_does_not_know_is_refused() {
    place("pending");
    const auto placed = issuer_->place(wanted_);
    script_.answers["https://ca/order/1"] = {problem(404, "malformed")};
    const auto refreshed = issuer_->refresh(*placed);
    CPPUNIT_ASSERT(!refreshed && refreshed.error().kind == ErrorKind::issuer_refused);
  }

  void a_chain_that_cannot_be_read_is_worth_asking_again() {
    place("valid");
    const auto placed = issuer_->place(wanted_);
    script_.answers["https://ca/certificate"] = {
        response(200, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")};
    auto collected = issuer_->collect(*placed);
    CPPUNIT_ASSERT(!collected && collected.error().kind == ErrorKind::connection);
    script_.answers["https://ca/certificate"] = {response(200, "nothing")};
    collected = issuer_->collect(*placed);
    CPPUNIT_ASSERT(!collected && collected.error().message.find("no certificate in it") != std::string::npos);
  }

  void a_server_without_a_list_of_orders_finds_nothing() {
    const auto found = issuer_->find(wanted_, {});
    CPPUNIT_ASSERT(found && !*found);
  }

  void an_account_that_cannot_be_kept_is_an_error() {
    records_.full = true;
    const auto placed = issuer_->place(wanted_);
    CPPUNIT_ASSERT(!placed && placed.error().kind == ErrorKind::storage);
  }

  void a_lost_connection_is_reported_and_not_repeated() {
    script_.answers["https://ca/order"] = {Error{ErrorKind::connection, "reset"}};
    const auto placed = issuer_->place(wanted_);
    CPPUNIT_ASSERT(!placed && placed.error().kind == ErrorKind::connection);
    CPPUNIT_ASSERT_EQUAL(std::ptrdiff_t{1}, std::count(script_.seen.begin(), script_.seen.end(), "https://ca/order"));
  }

  void an_unknown_type_of_issuer_is_refused() {
    spec_.type = "carrier-pigeon";
    auto made = make_issuer(spec_, {records_, events_, clock_});
    CPPUNIT_ASSERT(!made && made.error().kind == ErrorKind::configuration);
    spec_.type = "acme";
  }

  // The word by which a remedy is found.
  std::string case_of(const Result<IssuerOrder>& placed) {
    CPPUNIT_ASSERT(!placed && placed.error().problem);
    const std::string& type = placed.error().problem->type;
    return type.substr(type.rfind(':') + 1);
  }

  void a_refused_registration_is_told_by_what_the_ca_says() {
    const struct {
      bool bound;
      const char* type;
      const char* detail;
      const char* word;
    } rows[] = {
        {true, "malformed", "contact is required", "contact"},
        {true, "invalidContact", "not a mail address", "contact"},
        {true, "unauthorized", "unknown key identifier", "externalAccount"},
        {true, "unauthorized", "no", "externalAccount"},
        {true, "malformed", "External account binding: HMAC does not verify", "externalAccount"},
        {true, "malformed", "no comma expected; please contact support", "malformed"},
        {false, "externalAccountRequired", "customers only", "externalAccountRequired"},
        {false, "malformed", "EAB credentials are missing", "externalAccountRequired"},
        {false, "unauthorized", "account is closed", "unauthorized"},
        {false, "malformed", "unexpected comma", "malformed"},
    };
    for (const auto& row : rows) {
      records_ = {};
      if (row.bound)
        spec_.external_account.emplace(ExternalAccount{"kid", Secret::from_text("0123456789abcdef")});
      else
        spec_.external_account.reset();
      script_.answers["https://ca/account"] = {response(
          400, std::string(R"({"type":"urn:ietf:params:acme:error:)") + row.type + R"(","detail":")" + row.detail + "\"}",
          {{"Replay-Nonce", "n"}})};
      issuer_ = make_acme_issuer(spec_, std::make_unique<ScriptedClient>(script_), {records_, events_, clock_});
      const auto placed = issuer_->place(wanted_);
      CPPUNIT_ASSERT_EQUAL_MESSAGE(row.detail, std::string(row.word), case_of(placed));
      CPPUNIT_ASSERT_MESSAGE(row.detail, placed.error().message.find(row.detail) != std::string::npos);
    }
    spec_.external_account.reset();
  }

  void changed_terms_are_told_with_the_link_of_the_ca() {
    auto changed = problem(403, "userActionRequired");
    changed.fields.emplace_back("Link", "<https://ca.example/terms-2>; rel=\"terms-of-service\"");
    script_.answers["https://ca/order"] = {changed};
    const auto placed = issuer_->place(wanted_);
    CPPUNIT_ASSERT(!placed && placed.error().kind == ErrorKind::action_required);
    CPPUNIT_ASSERT_EQUAL(std::string("https://ca.example/terms-2"), placed.error().problem->instance);
    CPPUNIT_ASSERT(placed.error().message.ends_with("; visit https://ca.example/terms-2"));
  }

  void what_is_no_directory_is_told_as_such() {
    for (const auto& answer : {response(404, "not here"), response(200, "<html><title>Welcome</title></html>"),
                               response(200, "{}"), response(403, "")}) {
      script_.answers["https://ca/dir"] = {answer};
      issuer_ = make_acme_issuer(spec_, std::make_unique<ScriptedClient>(script_), {records_, events_, clock_});
      const auto placed = issuer_->place(wanted_);
      CPPUNIT_ASSERT_EQUAL(std::string("notDirectory"), case_of(placed));
      CPPUNIT_ASSERT(placed.error().kind == ErrorKind::connection);
    }
    script_.answers["https://ca/dir"] = {response(503, "")};
    issuer_ = make_acme_issuer(spec_, std::make_unique<ScriptedClient>(script_), {records_, events_, clock_});
    CPPUNIT_ASSERT(!issuer_->place(wanted_).error().problem);
  }

  // The directory, and with it the account, of a CA that takes every request and never answers.
  void whoever_waited_for_a_directory_that_failed_has_its_error() {
    std::promise<void> asked;
    std::promise<void> give_up;
    auto made = std::make_unique<SilentClient>(asked, give_up.get_future().share());
    const SilentClient& client = *made;
    issuer_ = make_acme_issuer(spec_, std::move(made), {records_, events_, clock_});
    constexpr int waiters = 4;
    std::vector<std::string> told(waiters + 1);
    std::vector<std::jthread> threads;
    const auto ask = [&](int index) {
      const auto placed = issuer_->place(wanted_);
      told[static_cast<std::size_t>(index)] = placed ? "placed" : placed.error().message;
    };
    threads.emplace_back(ask, 0);
    asked.get_future().wait();
    for (int i = 1; i <= waiters; ++i) {
      std::promise<pid_t> begun;
      threads.emplace_back([&, i] {
        begun.set_value(gettid());
        ask(i);
      });
      wait_until_asleep(begun.get_future().get());
    }
    give_up.set_value();
    threads.clear();
    for (const auto& sentence : told) CPPUNIT_ASSERT_EQUAL(std::string("silence 1"), sentence);
    CPPUNIT_ASSERT_EQUAL(1, client.requests());
    // Whoever comes later asks.
    CPPUNIT_ASSERT_EQUAL(std::string("silence 2"), issuer_->place(wanted_).error().message);
  }

  void no_address_without_encryption_gets_a_signed_request() {
    const std::string plain = "http://ca.example/plain";
    const auto nothing_sent_there = [&] { return std::count(script_.seen.begin(), script_.seen.end(), plain) == 0; };
    script_.answers[plain] = {response(200, order("valid"))};

    script_.answers["https://ca/order"] = {response(201, order("pending"), {{"Location", plain}})};
    auto placed = issuer_->place(wanted_);
    CPPUNIT_ASSERT(!placed && placed.error().kind == ErrorKind::connection);
    CPPUNIT_ASSERT_MESSAGE(placed.error().message, placed.error().message.find("http://ca.example\"") != std::string::npos);

    const std::string body = R"({"status":"%","identifiers":[{"type":"dns","value":"a.example"}],
      "authorizations":[")" + plain +
                             R"("],"finalize":")" + plain + R"(","certificate":")" + plain + R"("})";
    const auto with_status = [&](const char* status) { return std::string(body).replace(body.find('%'), 1, status); };
    script_.answers["https://ca/order"] = {response(201, with_status("valid"), {{"Location", "https://ca/order/1"}})};
    placed = issuer_->place(wanted_);
    CPPUNIT_ASSERT(placed);
    CPPUNIT_ASSERT(!issuer_->challenges(*placed));
    CPPUNIT_ASSERT(!issuer_->finalize(*placed, wanted_));
    CPPUNIT_ASSERT(!issuer_->collect(*placed));
    CPPUNIT_ASSERT(!issuer_->abandon(*placed));
    CPPUNIT_ASSERT(!issuer_->respond(*placed, {ChallengeKind::http_01, {IdentifierKind::dns, "a.example"}, "t", "t.x", plain}));
    CPPUNIT_ASSERT(nothing_sent_there());

    script_.answers["https://ca/account/1"] = {response(200, R"({"status":"valid","orders":")" + plain + "\"}")};
    CPPUNIT_ASSERT(!issuer_->find(wanted_, {}));
    CPPUNIT_ASSERT(nothing_sent_there());

    records_ = {};
    script_.answers["https://ca/account"] = {response(201, R"({"status":"valid"})", {{"Location", plain}})};
    issuer_ = make_acme_issuer(spec_, std::make_unique<ScriptedClient>(script_), {records_, events_, clock_});
    CPPUNIT_ASSERT(!issuer_->place(wanted_));
    CPPUNIT_ASSERT(nothing_sent_there() && records_.record && records_.record->url.empty());
  }

 private:
  static HttpResponse directory(const std::string& new_order) {
    return response(200,
                    R"({"newNonce":"https://ca/nonce","newAccount":"https://ca/account","newOrder":")" + new_order + "\"}");
  }
  void place(const std::string& status) {
    script_.answers["https://ca/order"] = {
        response(201, order(status), {{"Location", "https://ca/order/1"}, {"Replay-Nonce", "n3"}})};
  }

  Script script_;
  OneRecord records_;
  Events events_;
  TurnedClock clock_;
  IssuerSpec spec_;
  std::unique_ptr<Issuer> issuer_;
  PrivateKey key_;
  Wanted wanted_;
};
CPPUNIT_TEST_SUITE_REGISTRATION(AcmeIssuerTest);

}  // namespace
}  // namespace evercert
