// The client's side of the control socket, against a socket that this test holds the other end of.
#include <cppunit/TestFixture.h>
#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "agent/run/control.h"
#include "serving/base/json.h"

namespace {

using namespace evercert;
using namespace std::chrono_literals;

class ControlTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(ControlTest);
  CPPUNIT_TEST(messages_come_whole_and_in_order_however_they_were_cut);
  CPPUNIT_TEST(a_large_message_goes_out_and_comes_back);
  CPPUNIT_TEST(the_end_is_told_apart_from_a_message_cut_off);
  CPPUNIT_TEST(silence_ends_at_the_deadline);
  CPPUNIT_TEST(a_line_that_is_no_json_is_an_error_and_the_next_is_read);
  CPPUNIT_TEST(an_endless_line_is_refused);
  CPPUNIT_TEST(a_peer_that_went_away_is_an_error_not_a_signal);
  CPPUNIT_TEST(it_is_ready_when_a_message_waits_in_memory);
  CPPUNIT_TEST(nobody_listening_is_a_connection_error_that_names_the_socket);
  CPPUNIT_TEST(a_path_longer_than_a_socket_address_is_reached);
  CPPUNIT_TEST_SUITE_END();

 public:
  void setUp() override {
    std::string pattern = std::filesystem::temp_directory_path() / "evercert_control_XXXXXX";
    CPPUNIT_ASSERT(::mkdtemp(pattern.data()) != nullptr);
    root_ = pattern;
    int ends[2];
    CPPUNIT_ASSERT_EQUAL(0, ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    peer_ = Descriptor(ends[1]);
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
    connection_.emplace(Descriptor(ends[0]));
  }
  void tearDown() override {
    connection_.reset();
    std::filesystem::remove_all(root_);
  }

  void messages_come_whole_and_in_order_however_they_were_cut() {
    say("{\"a\":1}\n{\"b\"");
    CPPUNIT_ASSERT(received() == Json({{"a", 1}}));
    say(":2}\n{\"c\":3}\n");
    CPPUNIT_ASSERT(received() == Json({{"b", 2}}));
    CPPUNIT_ASSERT(received() == Json({{"c", 3}}));
  }
  void a_large_message_goes_out_and_comes_back() {
    const Json large{{"plan", std::string(std::size_t{3} << 20, 'x')}};
    const std::jthread echo([this] {
      char portion[65536];
      for (ssize_t got = 1; (got = ::read(peer_.get(), portion, sizeof portion)) > 0;) {
        for (ssize_t written = 0; written < got;) {
          const ssize_t step = ::write(peer_.get(), portion + written, static_cast<std::size_t>(got - written));
          if (step < 0) {
            return;
          }
          written += step;
        }
      }
    });
    // The echo needs somebody who reads while it writes.
    std::optional<Json> back;
    std::jthread reader([&] { back = received(); });
    const Result<Done> sent = connection_->send(large);
    reader.join();
    ::shutdown(connection_->descriptor(), SHUT_WR);
    CPPUNIT_ASSERT(sent.has_value());
    CPPUNIT_ASSERT(back == large);
  }
  void the_end_is_told_apart_from_a_message_cut_off() {
    say("{\"a\":1}\n");
    peer_.reset();
    CPPUNIT_ASSERT(received() == Json({{"a", 1}}));
    Result<std::optional<Json>> end = connection_->receive(5s);
    CPPUNIT_ASSERT(end.has_value() && !end->has_value());

    setUp();
    say("{\"a\":");
    peer_.reset();
    expect(connection_->receive(5s), ErrorKind::connection, "in the middle");
  }
  void silence_ends_at_the_deadline() {
    say("{\"a\":");
    expect(connection_->receive(20ms), ErrorKind::connection, "said nothing");
    say("1}\n");
    CPPUNIT_ASSERT(received() == Json({{"a", 1}}));
  }
  void a_line_that_is_no_json_is_an_error_and_the_next_is_read() {
    say("nonsense\n{\"a\":1}\n");
    expect(connection_->receive(5s), ErrorKind::internal, "not JSON");
    CPPUNIT_ASSERT(received() == Json({{"a", 1}}));
  }
  void an_endless_line_is_refused() {
    std::jthread talker([this] {
      const std::string portion(std::size_t{1} << 20, 'x');
      while (::send(peer_.get(), portion.data(), portion.size(), MSG_NOSIGNAL) > 0) {
      }
    });
    expect(connection_->receive(60s), ErrorKind::internal, "longer than any that an agent sends");
    connection_.reset();
  }
  void a_peer_that_went_away_is_an_error_not_a_signal() {
    peer_.reset();
    const Result<Done> sent = connection_->send(Json{{"verb", "ping"}});
    CPPUNIT_ASSERT(!sent.has_value());
    CPPUNIT_ASSERT(sent.error().kind == ErrorKind::connection);
  }
  void it_is_ready_when_a_message_waits_in_memory() {
    CPPUNIT_ASSERT(!connection_->ready(0ms));
    say("{\"a\":1}\n{\"b\":2}\n");
    CPPUNIT_ASSERT(connection_->ready(5s));
    received();
    CPPUNIT_ASSERT(connection_->ready(0ms));
    received();
    CPPUNIT_ASSERT(!connection_->ready(0ms));
    peer_.reset();
    CPPUNIT_ASSERT(connection_->ready(5s));
  }
  void nobody_listening_is_a_connection_error_that_names_the_socket() {
    const Result<ControlConnection> opened = ControlConnection::open(root_);
    CPPUNIT_ASSERT(!opened.has_value());
    CPPUNIT_ASSERT(opened.error().kind == ErrorKind::connection);
    CPPUNIT_ASSERT(opened.error().message.find(control_socket_path(root_)) != std::string::npos);
  }
  void a_path_longer_than_a_socket_address_is_reached() {
    const std::string state_path = root_ + "/" + std::string(100, 'd') + "/" + std::string(100, 'e');
    std::filesystem::create_directories(state_path + "/state");
    const Descriptor directory(::open((state_path + "/state").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const std::string reachable = "/proc/self/fd/" + std::to_string(directory.get()) + "/agent.sock";
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    reachable.copy(name.sun_path, sizeof name.sun_path - 1);
    const Descriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CPPUNIT_ASSERT_EQUAL(0, ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name));
    CPPUNIT_ASSERT_EQUAL(0, ::listen(listener.get(), 1));
    Result<ControlConnection> opened = ControlConnection::open(state_path);
    CPPUNIT_ASSERT_MESSAGE(opened ? "" : opened.error().message, opened.has_value());
    const Descriptor accepted(::accept(listener.get(), nullptr, nullptr));
    CPPUNIT_ASSERT(opened->send(Json{{"verb", "ping"}}).has_value());
    char line[32] = {};
    CPPUNIT_ASSERT(::read(accepted.get(), line, sizeof line - 1) > 0);
    CPPUNIT_ASSERT_EQUAL(std::string("{\"verb\":\"ping\"}\n"), std::string(line));
  }

 private:
  void say(const std::string& text) const {
    CPPUNIT_ASSERT_EQUAL(static_cast<ssize_t>(text.size()), ::write(peer_.get(), text.data(), text.size()));
  }
  Json received() {
    Result<std::optional<Json>> message = connection_->receive(30s);
    CPPUNIT_ASSERT_MESSAGE(message ? "" : message.error().message, message.has_value());
    CPPUNIT_ASSERT(message->has_value());
    return **message;
  }
  static void expect(const Result<std::optional<Json>>& outcome, ErrorKind kind, const std::string& words) {
    CPPUNIT_ASSERT(!outcome.has_value());
    CPPUNIT_ASSERT(outcome.error().kind == kind);
    CPPUNIT_ASSERT_MESSAGE(outcome.error().message, outcome.error().message.find(words) != std::string::npos);
  }

  std::string root_;
  Descriptor peer_;
  std::optional<ControlConnection> connection_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(ControlTest);

}  // namespace
