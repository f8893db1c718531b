#include <cppunit/extensions/HelperMacros.h>
#include <sys/socket.h>

#include <string>
#include <vector>

#include "agent/run/inheritance.h"
#include "evercert/descriptor.h"
#include "serving/base/log_words.h"

namespace evercert {
namespace {

class ChannelTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(ChannelTest);
  CPPUNIT_TEST(a_server_that_does_not_read_blocks_nobody_and_is_told_later_what_it_missed);
  CPPUNIT_TEST(every_level_has_a_word_that_is_understood);
  CPPUNIT_TEST_SUITE_END();

 public:
  void setUp() override {
    int ends[2];
    CPPUNIT_ASSERT_EQUAL(0, ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
    agent_ = Descriptor(ends[0]);
    server_ = Descriptor(ends[1]);
    const int small = 4096;
    CPPUNIT_ASSERT_EQUAL(0, ::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small));
  }

  void a_server_that_does_not_read_blocks_nobody_and_is_told_later_what_it_missed() {
    ChannelLogger log(agent_.get());
    std::size_t written = 0;
    while (log.dropped() < 3 && written < 100000) log.write(LogLevel::info, "line " + std::to_string(written++));
    log.write(LogLevel::debug, "nobody misses this");
    CPPUNIT_ASSERT_EQUAL(std::size_t{3}, static_cast<std::size_t>(log.dropped()));
    const auto kept = read_all();
    CPPUNIT_ASSERT_EQUAL(written - 3, kept.size());
    log.write(LogLevel::notice, "back again");
    const auto after = read_all();
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, after.size());
    CPPUNIT_ASSERT(after.front().find("3 lines") != std::string::npos && after.front().find("\"warn\"") != std::string::npos);
    CPPUNIT_ASSERT(after.back().find("back again") != std::string::npos);
  }

  void every_level_has_a_word_that_is_understood() {
    for (const LogLevel level : {LogLevel::error, LogLevel::warn, LogLevel::notice, LogLevel::info, LogLevel::debug})
      CPPUNIT_ASSERT(log_level_of(to_string(level)) == level);
    CPPUNIT_ASSERT(!log_level_of("loud"));
  }

 private:
  std::vector<std::string> read_all() const {
    std::vector<std::string> lines;
    char buffer[4096];
    for (;;) {
      const ssize_t length = ::recv(server_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (length <= 0) return lines;
      lines.emplace_back(buffer, static_cast<std::size_t>(length));
    }
  }

  Descriptor agent_;
  Descriptor server_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(ChannelTest);

}  // namespace
}  // namespace evercert
