// The worker's side of the link to an agent.
#include <cppunit/extensions/HelperMacros.h>
#include <sys/socket.h>

#include <array>

#include "evercert/descriptor.h"
#include "evercert/link.h"
#include "fake/kept_log.h"
#include "serving/launch/carried_format.h"

namespace evercert {

class LaunchLinkTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(LaunchLinkTest);
  CPPUNIT_TEST(a_certificate_comes_down_with_all_its_files);
  CPPUNIT_TEST(the_answer_to_a_wish_comes_down_as_a_sentence);
  CPPUNIT_TEST(damaged_messages_are_skipped);
  CPPUNIT_TEST(a_message_longer_than_agreed_is_skipped);
  CPPUNIT_TEST(nothing_to_receive_is_not_waited_for);
  CPPUNIT_TEST(what_became_of_a_certificate_goes_up);
  CPPUNIT_TEST(reasons_are_cut_short);
  CPPUNIT_TEST(a_wish_is_refused_once_the_agent_is_gone);
  CPPUNIT_TEST(the_keeper_hears_go);
  CPPUNIT_TEST(the_agents_lines_reach_the_log_and_stay_one_line);
  CPPUNIT_TEST(a_keeper_that_went_is_told_once);
  CPPUNIT_TEST_SUITE_END();

 private:
  KeptLog log_;
  Descriptor agent_;
  Descriptor keeper_;
  std::unique_ptr<AgentLink> link_;

  void from_agent(std::string_view text) const {
    CPPUNIT_ASSERT_EQUAL(static_cast<ssize_t>(text.size()), ::send(agent_.get(), text.data(), text.size(), MSG_NOSIGNAL));
  }
  void from_keeper(std::string_view text) const {
    CPPUNIT_ASSERT_EQUAL(static_cast<ssize_t>(text.size()), ::send(keeper_.get(), text.data(), text.size(), MSG_NOSIGNAL));
  }
  static std::string heard_by(const Descriptor& end) {
    std::array<char, 2048> text;
    const ssize_t size = ::recv(end.get(), text.data(), text.size(), MSG_DONTWAIT);
    return {text.data(), size < 0 ? 0 : static_cast<std::size_t>(size)};
  }

 public:
  void setUp() override {
    auto ends = LinkEnds::create();
    CPPUNIT_ASSERT(ends);
    std::array<int, 2> channel{-1, -1};
    CPPUNIT_ASSERT_EQUAL(0, ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel.data()));
    agent_ = std::move(ends->agent);
    keeper_ = Descriptor(channel[0]);
    link_ = std::make_unique<AgentLink>(Descriptor(channel[1]), std::move(ends->worker), log_);
  }

  void a_certificate_comes_down_with_all_its_files() {
    from_agent(R"({"certificate":"a.test","generation":7,"files":["a.pem.ecdsa","a.pem.rsa"],"sizes":[5,4]})"
               "\nfirstlast");
    const auto message = link_->receive();
    CPPUNIT_ASSERT(message);
    CPPUNIT_ASSERT_EQUAL(std::string("a.test"), message->certificate);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{7}, message->generation);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, message->files.size());
    CPPUNIT_ASSERT_EQUAL(std::string("a.pem.rsa"), message->files[1].name);
    CPPUNIT_ASSERT(message->files[0].content.text() == "first" && message->files[1].content.text() == "last");
  }

  void the_answer_to_a_wish_comes_down_as_a_sentence() {
    from_agent(R"({"renewal":"a.test","said":"it is not due"})");
    const auto message = link_->receive();
    CPPUNIT_ASSERT(message && message->generation == 0 && message->files.empty());
    CPPUNIT_ASSERT_EQUAL(std::string("it is not due"), message->said);
  }

  void damaged_messages_are_skipped() {
    for (const char* const text : {"no JSON", "{}", "[]", R"({"certificate":"a.test"})",
                                   R"({"certificate":"a.test","generation":1,"files":["x"],"sizes":[1]})",
                                   "{\"certificate\":\"a.test\",\"generation\":0,\"files\":[\"x\"],\"sizes\":[1]}\ny",
                                   "{\"certificate\":\"a.test\",\"generation\":-1,\"files\":[\"x\"],\"sizes\":[1]}\ny",
                                   "{\"certificate\":\"a.test\",\"generation\":1,\"files\":[\"x\"],\"sizes\":[2]}\ny",
                                   "{\"certificate\":\"a.test\",\"generation\":1,\"files\":[\"x\"],\"sizes\":[-1]}\ny",
                                   "{\"certificate\":\"a.test\",\"generation\":1,\"files\":[\"x\"],\"sizes\":[1,1]}\nyy",
                                   "{\"certificate\":\"a.test\",\"generation\":1,\"files\":[\"x\"],\"sizes\":\"1\"}\ny"})
      from_agent(text);
    from_agent("{\"certificate\":\"good.test\",\"generation\":1,\"files\":[\"x\"],\"sizes\":[1]}\ny");
    const auto message = link_->receive();
    CPPUNIT_ASSERT(message);
    CPPUNIT_ASSERT_EQUAL(std::string("good.test"), message->certificate);
    CPPUNIT_ASSERT(!link_->receive());
  }

  void a_message_longer_than_agreed_is_skipped() {
    const int room = static_cast<int>(2 * largest_link_message);
    CPPUNIT_ASSERT_EQUAL(0, ::setsockopt(agent_.get(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room));
    from_agent(std::string(largest_link_message + 1, ' '));
    from_agent(R"({"renewal":"a.test","said":"yes"})");
    const auto message = link_->receive();
    CPPUNIT_ASSERT(message && message->said == "yes");
  }

  void nothing_to_receive_is_not_waited_for() {
    CPPUNIT_ASSERT(!link_->receive());
    agent_.reset();
    CPPUNIT_ASSERT(!link_->receive());
  }

  void what_became_of_a_certificate_goes_up() {
    link_->swapped("a.test", 3);
    CPPUNIT_ASSERT_EQUAL(std::string(R"({"generation":3,"swapped":"a.test"})"), heard_by(agent_));
    link_->refused("a.test", 4, "no \"such\" file");
    CPPUNIT_ASSERT_EQUAL(std::string(R"({"generation":4,"message":"no \"such\" file","refused":"a.test"})"), heard_by(agent_));
    CPPUNIT_ASSERT(link_->ask_renewal("a.test"));
    CPPUNIT_ASSERT_EQUAL(std::string(R"({"renew":"a.test"})"), heard_by(agent_));
  }

  void reasons_are_cut_short() {
    link_->refused("a.test", 4, std::string(100000, 'x'));
    CPPUNIT_ASSERT(heard_by(agent_).size() < 600);
  }

  void a_wish_is_refused_once_the_agent_is_gone() {
    agent_.reset();
    CPPUNIT_ASSERT(!link_->ask_renewal("a.test"));
  }

  void the_keeper_hears_go() {
    link_->go();
    CPPUNIT_ASSERT_EQUAL(std::string(go_message), heard_by(keeper_));
    keeper_.reset();
    link_->go();
    CPPUNIT_ASSERT(!log_.line_with("cannot be told to begin").empty());
  }

  void the_agents_lines_reach_the_log_and_stay_one_line() {
    from_keeper(R"({"log":"warn","line":"two\nlines"})");
    from_keeper("no JSON");
    from_keeper("{\"log\":\"info\",\"line\":\"" + std::string(20000, 'x') + "\"}");
    from_keeper(R"({"log":"info","line":"the last"})");
    link_->tend();
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, log_.lines().size());
    CPPUNIT_ASSERT(log_.lines()[0].first == LogLevel::warn);
    CPPUNIT_ASSERT(log_.lines()[0].second.find('\n') == std::string::npos);
    CPPUNIT_ASSERT(!log_.line_with("the last").empty());
  }

  void a_keeper_that_went_is_told_once() {
    keeper_.reset();
    link_->tend();
    link_->tend();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, log_.lines().size());
    CPPUNIT_ASSERT(!log_.line_with("keeper has gone: certificates are served on").empty());
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(LaunchLinkTest);

}  // namespace evercert
