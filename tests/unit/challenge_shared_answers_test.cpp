#include <cppunit/extensions/HelperMacros.h>

#include <atomic>
#include <functional>
#include <thread>

#include "agent/challenge/shared_answers.h"

namespace evercert::test {
namespace {

constexpr std::chrono::hours for_ever{1};

// The store, and what happens once an answer is there.
class WatchedStore : public AnswerPlace {
 public:
  std::function<void(const OpenAnswer&)> then = [](const OpenAnswer&) {};
  bool broken = false;
  Result<Done> put(const OpenAnswer& answer) override {
    if (broken) return Error{ErrorKind::storage, "the disk is full"};
    then(answer);
    return Done{};
  }
};

}  // namespace

class SharedAnswersTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(SharedAnswersTest);
  CPPUNIT_TEST(without_followers_nobody_is_waited_for);
  CPPUNIT_TEST(an_answer_is_laid_out_once_every_follower_shows_it);
  CPPUNIT_TEST(a_follower_that_leaves_is_not_waited_for);
  CPPUNIT_TEST(a_silent_follower_costs_a_moment_only);
  CPPUNIT_TEST(the_end_of_the_leader_ends_the_waiting);
  CPPUNIT_TEST(what_cannot_be_stored_is_not_waited_for);
  CPPUNIT_TEST_SUITE_END();

  WatchedStore store_;
  std::stop_source stop_;
  const OpenAnswer answer_{ChallengeKind::http_01, "token", "token.thumbprint", {}};

 public:
  void without_followers_nobody_is_waited_for() {
    SharedAnswers answers(store_, stop_.get_token(), for_ever);
    CPPUNIT_ASSERT(answers.put(answer_));
  }

  void an_answer_is_laid_out_once_every_follower_shows_it() {
    SharedAnswers answers(store_, stop_.get_token(), for_ever);
    answers.joined("two");
    answers.joined("three");
    std::atomic<int> shown = 0;
    std::jthread followers;
    store_.then = [&](const OpenAnswer& answer) {
      answers.shown("two", "another token");
      followers = std::jthread([&, token = answer.token] {
        ++shown;
        answers.shown("two", token);
        ++shown;
        answers.shown("three", token);
      });
    };
    CPPUNIT_ASSERT(answers.put(answer_));
    CPPUNIT_ASSERT_EQUAL(2, shown.load());
  }

  void a_follower_that_leaves_is_not_waited_for() {
    SharedAnswers answers(store_, stop_.get_token(), for_ever);
    answers.joined("two");
    store_.then = [&](const OpenAnswer&) { answers.left("two"); };
    CPPUNIT_ASSERT(answers.put(answer_));
    store_.then = [](const OpenAnswer&) {};
    CPPUNIT_ASSERT(answers.put(answer_));
  }

  void a_silent_follower_costs_a_moment_only() {
    SharedAnswers answers(store_, stop_.get_token(), std::chrono::milliseconds(1));
    answers.joined("two");
    CPPUNIT_ASSERT(answers.put(answer_));
  }

  void the_end_of_the_leader_ends_the_waiting() {
    SharedAnswers answers(store_, stop_.get_token(), for_ever);
    answers.joined("two");
    store_.then = [&](const OpenAnswer&) { stop_.request_stop(); };
    CPPUNIT_ASSERT(answers.put(answer_));
  }

  void what_cannot_be_stored_is_not_waited_for() {
    SharedAnswers answers(store_, stop_.get_token(), for_ever);
    answers.joined("two");
    store_.broken = true;
    const auto put = answers.put(answer_);
    CPPUNIT_ASSERT(!put && put.error().kind == ErrorKind::storage);
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(SharedAnswersTest);

}  // namespace evercert::test
