// A dns_program of the operator's own that talks without end.
#include <cppunit/extensions/HelperMacros.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "agent/challenge/dns_provider.h"
#include "store_fixture.h"

namespace evercert::test {

using namespace std::chrono_literals;

class ProgramProviderTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(ProgramProviderTest);
  CPPUNIT_TEST(one_that_talks_without_end_has_the_time_of_a_silent_one);
  CPPUNIT_TEST(one_that_talks_without_end_is_stopped);
  CPPUNIT_TEST(what_it_leaves_talking_keeps_nobody);
  CPPUNIT_TEST(of_many_words_the_last_line_is_quoted);
  CPPUNIT_TEST_SUITE_END();

  std::string program(const std::string& lines) const {
    const std::string path = directory_ / "program";
    std::ofstream(path) << "#!/bin/sh\n" << lines;
    CPPUNIT_ASSERT_EQUAL(0, ::chmod(path.c_str(), 0755));
    return path;
  }
  Result<Done> add(const std::string& lines, std::chrono::milliseconds longest_run) {
    const DnsRecord record{"_acme-challenge.a.test", DnsType::txt, "value"};
    return make_program_provider(program(lines), stop_.get_token(), longest_run)->add(record);
  }

  void one_that_talks_without_end_has_the_time_of_a_silent_one() {
    for (const char* const lines : {"exec yes\n", "yes & yes\n", "exec sleep 100000\n"}) {
      const auto done = add(lines, 1s);
      CPPUNIT_ASSERT(!done);
      CPPUNIT_ASSERT_MESSAGE(done.error().message, done.error().message.find("did not end within 1 s") != std::string::npos);
    }
  }

  void one_that_talks_without_end_is_stopped() {
    const std::string begun = directory_ / "begun";
    CPPUNIT_ASSERT_EQUAL(0, ::mkfifo(begun.c_str(), 0600));
    const std::jthread stopper([&] {
      std::ifstream(begun).get();
      stop_.request_stop();
    });
    const auto done = add("echo >" + begun + "\nexec yes\n", 1h);
    std::fstream(begun) << '\n' << std::flush;  // for a program that did not begin
    CPPUNIT_ASSERT(!done);
    CPPUNIT_ASSERT_MESSAGE(done.error().message, done.error().message.find("since the agent ends") != std::string::npos);
  }

  void what_it_leaves_talking_keeps_nobody() { CPPUNIT_ASSERT(add("yes &\nexit 0\n", 1h)); }

  void of_many_words_the_last_line_is_quoted() {
    const auto done = add("seq 100000\necho the zone is frozen\nexit 3\n", 1h);
    CPPUNIT_ASSERT(!done);
    const std::string& said = done.error().message;
    CPPUNIT_ASSERT_MESSAGE(said,
                           said.ends_with("ended with status 3: add TXT _acme-challenge.a.test; it said: the zone is frozen"));
  }

  const TemporaryDirectory directory_;
  std::stop_source stop_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(ProgramProviderTest);

}  // namespace evercert::test
