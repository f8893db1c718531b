#include <arpa/inet.h>
#include <cppunit/extensions/HelperMacros.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <map>

#include "agent/challenge/http_01.h"
#include "agent/challenge/http_responder.h"
#include "evercert/descriptor.h"

namespace evercert {
namespace {

class TurnedClock : public Clock {
 public:
  [[nodiscard]] std::chrono::system_clock::time_point now() const override { return time; }
  std::chrono::system_clock::time_point time = std::chrono::system_clock::from_time_t(1'795'312'800);
};

class Place : public AnswerPlace {
 public:
  Place(std::string name, std::vector<std::string>& order) : name_(std::move(name)), order_(order) {}
  Result<Done> put(const OpenAnswer& answer) override {
    if (broken) return Error{ErrorKind::storage, "disk full"};
    order_.push_back(name_);
    last = answer;
    return Done{};
  }
  bool broken = false;
  OpenAnswer last;

 private:
  std::string name_;
  std::vector<std::string>& order_;
};

// A store in memory: what is sealed is proved by the bytes, not by the file system.
class MemoryStore : public Store {
 public:
  Result<std::optional<StoredObject>> get(const std::string& key) override {
    const auto found = objects.find(key);
    if (found == objects.end()) return std::optional<StoredObject>();
    return std::optional<StoredObject>(StoredObject{found->second, 1});
  }
  Result<std::vector<std::string>> list(const std::string& prefix) override {
    std::vector<std::string> keys;
    for (const auto& [key, value] : objects) {
      if (key.starts_with(prefix)) keys.push_back(key);
    }
    return keys;
  }
  Result<std::uint64_t> put(const std::string& key, BytesView value, const PutOptions&) override {
    objects[key].assign(value.begin(), value.end());
    return std::uint64_t{1};
  }
  Result<Done> erase(const std::string& key) override {
    objects.erase(key);
    return Done{};
  }
  Result<std::string> quarantine(const std::string&) override { return Error{ErrorKind::internal, "not in this test"}; }
  Result<std::size_t> sweep(std::chrono::system_clock::time_point) override { return std::size_t{0}; }
  Result<std::unique_ptr<StoreLock>> lock(const std::string&, std::chrono::milliseconds, std::stop_token) override {
    return Error{ErrorKind::internal, "not in this test"};
  }
  Result<std::unique_ptr<StoreWatch>> watch(const std::string&, std::function<void(const std::string&)>) override {
    return Error{ErrorKind::internal, "not in this test"};
  }
  std::map<std::string, Bytes> objects;
};

Challenge example(const std::string& token) {
  return {ChallengeKind::http_01, {IdentifierKind::dns, "a.example"}, token, token + ".thumbprint", ""};
}

class Http01Test : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(Http01Test);
  CPPUNIT_TEST(an_answer_goes_to_the_store_before_the_board);
  CPPUNIT_TEST(an_answer_stays_a_minute_after_it_was_cleaned_up);
  CPPUNIT_TEST(tokens_that_could_be_paths_are_refused);
  CPPUNIT_TEST(a_place_that_fails_is_an_error_with_the_name);
  CPPUNIT_TEST(stored_answers_come_back_and_expire);
  CPPUNIT_TEST(a_stored_answer_that_was_changed_or_moved_is_not_believed);
  CPPUNIT_TEST_SUITE_END();

 public:
  void an_answer_goes_to_the_store_before_the_board() {
    Http01 solver({&store_, &board_}, clock_);
    CPPUNIT_ASSERT(solver.present(example("abc")));
    CPPUNIT_ASSERT((order_ == std::vector<std::string>{"store", "board"}));
    CPPUNIT_ASSERT_EQUAL(std::string("abc.thumbprint"), board_.last.answer);
    CPPUNIT_ASSERT(board_.last.expires > clock_.time + std::chrono::hours(1));
    CPPUNIT_ASSERT(solver.present(example("abc")));
  }

  void an_answer_stays_a_minute_after_it_was_cleaned_up() {
    Http01 solver({&store_, &board_}, clock_);
    CPPUNIT_ASSERT(solver.present(example("abc")));
    for (int i = 0; i < 2; ++i) CPPUNIT_ASSERT(solver.clean_up(example("abc")));
    CPPUNIT_ASSERT(board_.last.expires == clock_.time + std::chrono::seconds(60));
    CPPUNIT_ASSERT_EQUAL(std::string("abc.thumbprint"), store_.last.answer);
  }

  void tokens_that_could_be_paths_are_refused() {
    Http01 solver({&store_, &board_}, clock_);
    for (const char* token : {"", "../x", "a/b", "a b", "a.b", "a\n", "%2e"}) {
      CPPUNIT_ASSERT_MESSAGE(token, !solver.present(example(token)));
    }
    CPPUNIT_ASSERT(!solver.present(example(std::string(257, 'a'))));
    CPPUNIT_ASSERT(solver.present(example(std::string(256, 'a'))));
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, order_.size());
  }

  void a_place_that_fails_is_an_error_with_the_name() {
    store_.broken = true;
    auto failed = Http01({&store_, &board_}, clock_).present(example("abc"));
    CPPUNIT_ASSERT(!failed && failed.error().kind == ErrorKind::storage);
    CPPUNIT_ASSERT(failed.error().message.find("a.example") != std::string::npos);
  }

  void stored_answers_come_back_and_expire() {
    MemoryStore store;
    StoredAnswers answers(store, seal_);
    const OpenAnswer open{ChallengeKind::http_01, "Abc-_1", "Abc-_1.t", clock_.time + std::chrono::seconds(10)};
    CPPUNIT_ASSERT(answers.put(open));
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, store.objects.size());
    const std::string key = store.objects.begin()->first;
    CPPUNIT_ASSERT(key.starts_with("challenges/http-01."));
    CPPUNIT_ASSERT(key.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-/") == std::string::npos);
    auto read = answers.get(key);
    CPPUNIT_ASSERT(read && *read);
    CPPUNIT_ASSERT_EQUAL(open.answer, (*read)->answer);
    CPPUNIT_ASSERT((*read)->expires == open.expires);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, answers.sweep(clock_.time).value().size());
    CPPUNIT_ASSERT(answers.sweep(clock_.time + std::chrono::seconds(11)).value().empty());
    CPPUNIT_ASSERT(store.objects.empty());
    auto gone = answers.get(key);
    CPPUNIT_ASSERT(gone && !*gone);
  }

  void a_stored_answer_that_was_changed_or_moved_is_not_believed() {
    MemoryStore store;
    StoredAnswers answers(store, seal_);
    CPPUNIT_ASSERT(answers.put({ChallengeKind::http_01, "abc", "abc.t", clock_.time + std::chrono::seconds(10)}));
    const auto [key, bytes] = *store.objects.begin();
    store.objects["challenges/http-01.other.answer"] = bytes;
    CPPUNIT_ASSERT(!answers.get("challenges/http-01.other.answer"));
    store.objects[key].back() ^= 1;
    CPPUNIT_ASSERT(!answers.get(key));
    CPPUNIT_ASSERT(answers.sweep(clock_.time).value().empty());
  }

 private:
  TurnedClock clock_;
  std::vector<std::string> order_;
  Place store_{"store", order_};
  Place board_{"board", order_};
  const SealKey seal_{"0123456789abcdef", Secret(Bytes(32, 9))};
};
CPPUNIT_TEST_SUITE_REGISTRATION(Http01Test);

class HttpResponderTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(HttpResponderTest);
  CPPUNIT_TEST(a_known_token_is_answered_to_get_and_head);
  CPPUNIT_TEST(a_file_is_that_of_the_host_that_is_asked_for);
  CPPUNIT_TEST(everything_else_is_not_found);
  CPPUNIT_TEST(other_methods_and_no_http_are_refused);
  CPPUNIT_TEST(a_head_of_more_than_eight_kibibytes_is_refused);
  CPPUNIT_TEST(a_request_may_come_byte_by_byte);
  CPPUNIT_TEST(it_ends_while_a_peer_is_still_connected);
  CPPUNIT_TEST(an_address_in_use_is_named);
  CPPUNIT_TEST(one_family_that_is_taken_is_not_forgiven);
  CPPUNIT_TEST_SUITE_END();

 public:
  void setUp() override {
    for (port_ = 31350; port_ < 31390; ++port_) {
      auto started = HttpResponder::start({"127.0.0.1"}, port_, [](std::string_view host, std::string_view path) {
        if (path == "/.well-known/acme-challenge/abc") return std::optional<std::string>("abc.t");
        return path == "/.well-known/pki-validation/file.txt" ? std::optional("for " + std::string(host)) : std::nullopt;
      });
      if (!started) continue;
      responder_ = std::move(*started);
      return;
    }
    CPPUNIT_FAIL("no free port");
  }
  void tearDown() override { responder_.reset(); }

  void a_known_token_is_answered_to_get_and_head() {
    const std::string path = "/.well-known/acme-challenge/abc";
    const std::string answer = ask("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
    CPPUNIT_ASSERT(answer.starts_with("HTTP/1.1 200 OK\r\n"));
    CPPUNIT_ASSERT(answer.ends_with("\r\n\r\nabc.t"));
    CPPUNIT_ASSERT(ask("GET http://x.example" + path + "?q HTTP/1.0\r\n\r\n").ends_with("abc.t"));
    const std::string head = ask("HEAD " + path + " HTTP/1.1\r\n\r\n");
    CPPUNIT_ASSERT(head.find("Content-Length: 5\r\n") != std::string::npos && head.ends_with("\r\n\r\n"));
  }

  void a_file_is_that_of_the_host_that_is_asked_for() {
    const std::string line = "GET /.well-known/pki-validation/file.txt HTTP/1.1\r\n";
    CPPUNIT_ASSERT(ask(line + "Accept: */*\r\nhOST: \t one.test:8080 \r\n\r\n").ends_with("for one.test:8080"));
    CPPUNIT_ASSERT(ask(line + "\r\n").ends_with("for "));
    CPPUNIT_ASSERT(ask("GET http://two.test/.well-known/pki-validation/file.txt HTTP/1.1\r\nHost: one.test\r\n\r\n")
                       .ends_with("for two.test"));
  }

  void everything_else_is_not_found() {
    for (const char* path : {"/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/other",
                             "/.well-known/acme-challenge/../abc", "/.well-known/acme-challenge/abc/", "http://x"}) {
      const std::string answer = ask("GET " + std::string(path) + " HTTP/1.1\r\n\r\n");
      CPPUNIT_ASSERT_MESSAGE(path, answer.starts_with("HTTP/1.1 404 "));
    }
  }

  void other_methods_and_no_http_are_refused() {
    CPPUNIT_ASSERT(ask("POST /.well-known/acme-challenge/abc HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    for (const char* text : {"\r\n\r\n", "GET\r\n\r\n", "GET /\r\n\r\n", "a b c\r\n\r\n", "\x16\x03\x01\r\n\r\n"}) {
      CPPUNIT_ASSERT(ask(text).starts_with("HTTP/1.1 400 "));
    }
  }

  void a_head_of_more_than_eight_kibibytes_is_refused() {
    CPPUNIT_ASSERT(ask("GET / HTTP/1.1\r\nX: " + std::string(9000, 'x')).starts_with("HTTP/1.1 431 "));
  }

  void a_request_may_come_byte_by_byte() {
    const Descriptor peer = connected();
    for (const char byte : std::string("GET /.well-known/acme-challenge/abc HTTP/1.1\r\n\r\n")) {
      CPPUNIT_ASSERT_EQUAL(ssize_t{1}, send(peer.get(), &byte, 1, MSG_NOSIGNAL));
    }
    CPPUNIT_ASSERT(read_all(peer.get()).ends_with("abc.t"));
  }

  void it_ends_while_a_peer_is_still_connected() {
    const Descriptor silent = connected();
    CPPUNIT_ASSERT(!ask("GET / HTTP/1.1\r\n\r\n").empty());  // so the silent one has been taken as well
    responder_.reset();
    CPPUNIT_ASSERT_EQUAL(std::string(), read_all(silent.get()));
  }

  void one_family_that_is_taken_is_not_forgiven() {
    for (const auto& addresses : {std::vector<std::string>{"0.0.0.0", "::"}, {"::", "0.0.0.0"}}) {
      auto second = HttpResponder::start(addresses, port_, [](std::string_view, std::string_view) { return std::nullopt; });
      CPPUNIT_ASSERT(!second && second.error().kind == ErrorKind::configuration);
      CPPUNIT_ASSERT_MESSAGE(second.error().message, second.error().message.find("on 0.0.0.0 port") != std::string::npos &&
                                                         second.error().message.find("http_listen") != std::string::npos);
    }
  }

  void an_address_in_use_is_named() {
    auto second = HttpResponder::start({"127.0.0.1"}, port_, [](std::string_view, std::string_view) { return std::nullopt; });
    CPPUNIT_ASSERT(!second && second.error().kind == ErrorKind::configuration);
    CPPUNIT_ASSERT(second.error().message.find(std::to_string(port_)) != std::string::npos);
    CPPUNIT_ASSERT(!HttpResponder::start({}, port_, [](std::string_view, std::string_view) { return std::nullopt; }));
    CPPUNIT_ASSERT(
        !HttpResponder::start({"no address"}, port_, [](std::string_view, std::string_view) { return std::nullopt; }));
  }

 private:
  [[nodiscard]] Descriptor connected() const {
    Descriptor peer(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port_);
    CPPUNIT_ASSERT_EQUAL(0, connect(peer.get(), reinterpret_cast<sockaddr*>(&address), sizeof address));
    return peer;
  }
  static std::string read_all(int peer) {
    std::string text;
    std::array<char, 4096> bytes;
    for (ssize_t count; (count = read(peer, bytes.data(), bytes.size())) > 0;)
      text.append(bytes.data(), static_cast<std::size_t>(count));
    return text;
  }
  [[nodiscard]] std::string ask(const std::string& request) const {
    const Descriptor peer = connected();
    send(peer.get(), request.data(), request.size(), MSG_NOSIGNAL);
    return read_all(peer.get());
  }

  std::uint16_t port_ = 0;
  std::unique_ptr<HttpResponder> responder_;
};
CPPUNIT_TEST_SUITE_REGISTRATION(HttpResponderTest);

}  // namespace
}  // namespace evercert
