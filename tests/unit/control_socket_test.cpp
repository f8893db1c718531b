// The client's side of the control socket, against a socket that this test holds the other end of.
#include <cppunit/TestFixture.h>
#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "agent/control/control.h"
#include "evercert/descriptor.h"
#include "fake/sealed_peer.h"

namespace {

using namespace evercert;
using namespace std::chrono_literals;

class ControlTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(ControlTest);
  CPPUNIT_TEST(messages_come_whole_and_in_order_however_they_were_cut);
  CPPUNIT_TEST(a_large_message_goes_out_and_comes_back);
  CPPUNIT_TEST(the_end_is_told_apart_from_a_message_cut_off);
  CPPUNIT_TEST(silence_ends_at_the_deadline);
  CPPUNIT_TEST(a_message_that_is_no_json_is_an_error_and_the_next_is_read);
  CPPUNIT_TEST(an_endless_message_is_refused);
  CPPUNIT_TEST(a_peer_that_went_away_is_an_error_not_a_signal);
  CPPUNIT_TEST(it_is_ready_when_a_message_waits_in_memory);
  CPPUNIT_TEST(nothing_is_sent_to_or_believed_of_whoever_has_not_proved_itself);
  CPPUNIT_TEST(whoever_holds_another_key_gets_a_number_and_nothing_else);
  CPPUNIT_TEST(whoever_answers_in_clear_is_not_believed);
  CPPUNIT_TEST(a_silent_listener_is_told_apart_from_a_false_one);
  CPPUNIT_TEST(what_was_said_before_is_not_taken_again);
  CPPUNIT_TEST(nobody_listening_is_a_connection_error_that_names_the_socket);
  CPPUNIT_TEST(a_path_longer_than_a_socket_address_is_reached);
  CPPUNIT_TEST_SUITE_END();

 public:
  void setUp() override {
    std::string pattern = std::filesystem::temp_directory_path() / "evercert_control_XXXXXX";
    CPPUNIT_ASSERT(::mkdtemp(pattern.data()) != nullptr);
    root_ = pattern;
    connect(key_);
  }
  void tearDown() override {
    connection_.reset();
    std::filesystem::remove_all(root_);
  }

  void messages_come_whole_and_in_order_however_they_were_cut() {
    prove();
    std::string both = peer_->sealed("{\"a\":1}");
    both += peer_->sealed("{\"b\":2}");
    say(both.substr(0, both.size() / 2 + 3));
    CPPUNIT_ASSERT(received() == Json({{"a", 1}}));
    say(both.substr(both.size() / 2 + 3) + peer_->sealed("{\"c\":3}"));
    CPPUNIT_ASSERT(received() == Json({{"b", 2}}));
    CPPUNIT_ASSERT(received() == Json({{"c", 3}}));
  }
  void a_large_message_goes_out_and_comes_back() {
    prove();
    const Json large{{"plan", std::string(std::size_t{3} << 20, 'x')}};
    const std::jthread echo([this] { peer_->say(peer_->next().value_or("")); });
    // The echo needs somebody who reads while it writes.
    std::optional<Json> back;
    std::jthread reader([&] { back = received(); });
    const Result<Done> sent = connection_->send(large);
    reader.join();
    CPPUNIT_ASSERT(sent.has_value());
    CPPUNIT_ASSERT(back == large);
  }
  void the_end_is_told_apart_from_a_message_cut_off() {
    prove();
    peer_->say("{\"a\":1}");
    peer_->hang_up();
    CPPUNIT_ASSERT(received() == Json({{"a", 1}}));
    Result<std::optional<Json>> end = connection_->receive(5s);
    CPPUNIT_ASSERT(end.has_value() && !end->has_value());

    connect(key_);
    prove();
    say(peer_->sealed("{\"a\":1}").substr(0, 9));
    peer_->hang_up();
    expect(connection_->receive(5s), ErrorKind::connection, "in the middle");
  }
  void silence_ends_at_the_deadline() {
    prove();
    const std::string frame = peer_->sealed("{\"a\":1}");
    say(frame.substr(0, 7));
    expect(connection_->receive(20ms), ErrorKind::connection, "said nothing");
    say(frame.substr(7));
    CPPUNIT_ASSERT(received() == Json({{"a", 1}}));
  }
  void a_message_that_is_no_json_is_an_error_and_the_next_is_read() {
    prove();
    peer_->say("nonsense");
    peer_->say("{\"a\":1}");
    expect(connection_->receive(5s), ErrorKind::internal, "not JSON");
    CPPUNIT_ASSERT(received() == Json({{"a", 1}}));
  }
  void an_endless_message_is_refused() {
    prove();
    say("\xff\xff\xff\xff and so on");
    expect(connection_->receive(60s), ErrorKind::internal, "longer than any");
  }
  void a_peer_that_went_away_is_an_error_not_a_signal() {
    prove();
    peer_->hang_up();
    const Result<Done> sent = connection_->send(Json{{"verb", "ping"}});
    CPPUNIT_ASSERT(!sent.has_value());
    CPPUNIT_ASSERT(sent.error().kind == ErrorKind::connection);
  }
  void it_is_ready_when_a_message_waits_in_memory() {
    prove();
    CPPUNIT_ASSERT(!connection_->ready(0ms));
    std::string both = peer_->sealed("{\"a\":1}");
    both += peer_->sealed("{\"b\":2}");
    say(both);
    CPPUNIT_ASSERT(connection_->ready(5s));
    received();
    CPPUNIT_ASSERT(connection_->ready(0ms));
    received();
    CPPUNIT_ASSERT(!connection_->ready(0ms));
    peer_->hang_up();
    CPPUNIT_ASSERT(connection_->ready(5s));
  }
  void nothing_is_sent_to_or_believed_of_whoever_has_not_proved_itself() {
    CPPUNIT_ASSERT(connection_->send(Json{{"secret", 1}}).error().kind == ErrorKind::internal);
    say("{\"done\":true,\"exit\":0}\n");
    expect(connection_->receive(0ms), ErrorKind::internal, "not proved");
    CPPUNIT_ASSERT(connection_->prove(0ms).error().kind == ErrorKind::connection);
  }
  void whoever_holds_another_key_gets_a_number_and_nothing_else() {
    connect(other_key_);
    bool greeted = true;
    {
      const std::jthread false_agent([&] { greeted = peer_->greet(); });
      const auto proved = connection_->prove(30s);
      CPPUNIT_ASSERT(!proved && proved.error().kind == ErrorKind::connection);
      CPPUNIT_ASSERT(proved.error().message.find("seal.key") != std::string::npos);
      CPPUNIT_ASSERT(!connection_->send(Json{{"secret", 1}}));
      connection_.reset();
    }
    CPPUNIT_ASSERT(!greeted && !peer_->next());
  }
  void whoever_answers_in_clear_is_not_believed() {
    for (const char* words : {"{\"done\":true,\"exit\":0}\n", "nonsense\n", "{\"seal\":7}\n", "{\"seal\":\"AAAA\"}\n"}) {
      connect(key_);
      say(words);
      CPPUNIT_ASSERT(connection_->prove(30s).error().kind == ErrorKind::connection);
    }
    connect(key_);
    say(std::string(100000, 'x'));
    CPPUNIT_ASSERT(connection_->prove(30s).error().kind == ErrorKind::connection);
  }
  void a_silent_listener_is_told_apart_from_a_false_one() {
    const auto proved = connection_->prove(20ms);
    CPPUNIT_ASSERT(proved && !*proved);
  }
  void what_was_said_before_is_not_taken_again() {
    prove();
    const std::string frame = peer_->sealed("{\"done\":true}");
    say(frame);
    received();
    say(frame);
    expect(connection_->receive(30s), ErrorKind::internal, "does not hold the key");
    // Nor at another connection, where the numbers are others.
    connect(key_);
    prove();
    say(frame);
    expect(connection_->receive(30s), ErrorKind::internal, "does not hold the key");
  }
  void nobody_listening_is_a_connection_error_that_names_the_socket() {
    std::filesystem::create_directory(root_ + "/state");
    const Result<ControlConnection> opened = ControlConnection::open(root_, key_);
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
    Result<ControlConnection> opened = ControlConnection::open(state_path, key_);
    CPPUNIT_ASSERT_MESSAGE(opened ? "" : opened.error().message, opened.has_value());
    SealedPeer peer(Descriptor(::accept(listener.get(), nullptr, nullptr)), key_);
    const std::jthread server([&] { peer.greet(); });
    const auto proved = opened->prove(30s);
    CPPUNIT_ASSERT(proved && *proved && opened->agent_pid() == 4711);
  }

 private:
  void connect(const SealKey& theirs) {
    connection_.reset();
    int ends[2];
    CPPUNIT_ASSERT_EQUAL(0, ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
    peer_.emplace(Descriptor(ends[1]), theirs);
    connection_.emplace(Descriptor(ends[0]), key_);
  }
  void prove() {
    bool greeted = false;
    Result<bool> proved = false;
    {
      const std::jthread agent([&] { greeted = peer_->greet(); });
      proved = connection_->prove(30s);
    }
    CPPUNIT_ASSERT(proved && *proved && greeted);
  }
  void say(const std::string& bytes) { CPPUNIT_ASSERT(peer_->send_bytes(bytes)); }
  Json received() {
    Result<std::optional<Json>> message = connection_->receive(30s);
    CPPUNIT_ASSERT_MESSAGE(message ? "" : message.error().message, message.has_value());
    CPPUNIT_ASSERT(message->has_value());
    return **message;
  }
  static void expect(const Result<std::optional<Json>>& outcome, ErrorKind kind, const std::string& words) {
    CPPUNIT_ASSERT(!outcome.has_value());
    CPPUNIT_ASSERT_MESSAGE(outcome.error().message, outcome.error().message.find(words) != std::string::npos);
    CPPUNIT_ASSERT(outcome.error().kind == kind);
  }

  const SealKey key_{"0011223344556677", Secret(Bytes(32, 1))};
  const SealKey other_key_{"0011223344556677", Secret(Bytes(32, 2))};
  std::string root_;
  std::optional<SealedPeer> peer_;
  std::optional<ControlConnection> connection_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(ControlTest);

}  // namespace
