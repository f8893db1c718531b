#include <cppunit/extensions/HelperMacros.h>

#include <map>

#include "agent/challenge/joined_files.h"
#include "evercert/board.h"
#include "fake/fake_clock.h"

namespace evercert {
namespace {

using namespace std::chrono_literals;

struct Shown : AnswerPlace {
  Result<Done> put(const OpenAnswer& answer) override {
    files[answer.token] = answer;
    return Done{};
  }
  std::map<std::string, OpenAnswer> files;
};

class JoinedFilesTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(JoinedFilesTest);
  CPPUNIT_TEST(two_orders_of_a_host_share_the_file_of_one_name);
  CPPUNIT_TEST(what_has_expired_leaves_the_file);
  CPPUNIT_TEST(files_that_want_their_content_alone_are_replaced);
  CPPUNIT_TEST(no_more_than_the_board_takes_is_joined);
  CPPUNIT_TEST_SUITE_END();

  void put(const std::string& token, const std::string& value, std::chrono::seconds open = 1h,
           ChallengeKind kind = ChallengeKind::http_file) {
    CPPUNIT_ASSERT(files_.put({kind, token, value, clock_.now() + open}));
  }

 public:
  void two_orders_of_a_host_share_the_file_of_one_name() {
    put("a.test/fileauth.txt", "first", 2h);
    put("b.test/fileauth.txt", "other");
    put("a.test/fileauth.txt", "second");
    CPPUNIT_ASSERT_EQUAL(std::string("second\nfirst"), shown_.files["a.test/fileauth.txt"].answer);
    CPPUNIT_ASSERT(shown_.files["a.test/fileauth.txt"].expires == clock_.now() + 2h);
    CPPUNIT_ASSERT_EQUAL(std::string("other"), shown_.files["b.test/fileauth.txt"].answer);
    put("a.test/fileauth.txt", "first", 1min);
    CPPUNIT_ASSERT_EQUAL(std::string("first\nsecond"), shown_.files["a.test/fileauth.txt"].answer);
  }

  void what_has_expired_leaves_the_file() {
    put("a.test/fileauth.txt", "first", 1min);
    clock_.advance(2min);
    put("a.test/fileauth.txt", "second");
    CPPUNIT_ASSERT_EQUAL(std::string("second"), shown_.files["a.test/fileauth.txt"].answer);
  }

  void files_that_want_their_content_alone_are_replaced() {
    for (const auto* token : {"a.test/proof.txt", "a.test/0123ABCD.txt", "a.test/notfileauth.txt"}) {
      put(token, "first");
      put(token, "second");
      CPPUNIT_ASSERT_EQUAL_MESSAGE(token, std::string("second"), shown_.files[token].answer);
    }
    put("token", "key authorization", 1h, ChallengeKind::http_01);
    CPPUNIT_ASSERT_EQUAL(std::string("key authorization"), shown_.files["token"].answer);
  }

  void no_more_than_the_board_takes_is_joined() {
    for (int i = 0; i < 20; ++i) put("a.test/fileauth.txt", std::string(60, static_cast<char>('a' + i)));
    const std::string& text = shown_.files["a.test/fileauth.txt"].answer;
    CPPUNIT_ASSERT(text.size() <= Board::longest_answer && text.size() > 400 && text.starts_with(std::string(60, 't')));
  }

 private:
  FakeClock clock_;
  Shown shown_;
  JoinedFiles files_{{&shown_}, clock_};
};
CPPUNIT_TEST_SUITE_REGISTRATION(JoinedFilesTest);

}  // namespace
}  // namespace evercert
