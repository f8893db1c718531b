#include <cppunit/extensions/HelperMacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "agent/lead/election.h"
#include "evercert/descriptor.h"
#include "evercert/leader_file.h"
#include "fake/state_directory.h"

namespace evercert {
namespace {

class ElectionTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(ElectionTest);
  CPPUNIT_TEST(one_of_two_leads_until_it_resigns);
  CPPUNIT_TEST(the_holder_is_named_and_told_from_a_command_line);
  CPPUNIT_TEST(the_lead_of_a_killed_process_is_free);
  CPPUNIT_TEST(a_stopped_agent_is_ended_and_a_command_line_is_not);
  CPPUNIT_TEST_SUITE_END();

  StateDirectory state_;
  Descriptor file_ = open_leader_file(state_.path()).value();

  // A process that shares this one's open file, says its exit code when it has done what it is for, and waits.
  class Other {
   public:
    explicit Other(const std::function<int()>& action) {
      int ends[2];
      CPPUNIT_ASSERT_EQUAL(0, pipe(ends));
      pid_ = fork();
      if (pid_ == 0) {
        const char outcome = static_cast<char>(action());
        if (::write(ends[1], &outcome, 1) != 1) _exit(1);
        for (;;) pause();
      }
      close(ends[1]);
      char outcome = -1;
      CPPUNIT_ASSERT_EQUAL(ssize_t{1}, ::read(ends[0], &outcome, 1));
      close(ends[0]);
      outcome_ = outcome;
    }
    ~Other() { end(); }
    Other(const Other&) = delete;
    Other& operator=(const Other&) = delete;
    int end() {
      if (pid_ <= 0) return 0;
      kill(pid_, SIGKILL);
      return wait();
    }
    int wait() {
      int status = 0;
      waitpid(std::exchange(pid_, -1), &status, 0);
      return status;
    }
    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] int outcome() const { return outcome_; }

   private:
    pid_t pid_ = -1;
    int outcome_ = -1;
  };

  // What a process that never returns from here keeps.
  static int lead(int file, Election::As as) {
    static Election* kept = nullptr;
    kept = new Election(file, as);
    const auto won = kept->stand();
    return won && *won ? 1 : 0;
  }

 public:
  void one_of_two_leads_until_it_resigns() {
    Election one(file_.get());
    Election two(file_.get());
    CPPUNIT_ASSERT(*one.stand() && *one.stand() && !*two.stand());
    one.resign();
    CPPUNIT_ASSERT(*two.stand());
  }

  void the_holder_is_named_and_told_from_a_command_line() {
    const Election watcher(file_.get());
    for (const auto as : {Election::As::agent, Election::As::command_line}) {
      Other other([&] { return lead(file_.get(), as); });
      CPPUNIT_ASSERT_EQUAL(1, other.outcome());
      const auto holder = watcher.holder();
      CPPUNIT_ASSERT(holder && holder->pid == other.pid() && holder->agent == (as == Election::As::agent));
    }
    CPPUNIT_ASSERT(!watcher.holder());
  }

  void the_lead_of_a_killed_process_is_free() {
    Other other([this] { return lead(file_.get(), Election::As::agent); });
    Election ours(file_.get());
    CPPUNIT_ASSERT(!*ours.stand());
    other.end();
    CPPUNIT_ASSERT(*ours.stand());
  }

  void a_stopped_agent_is_ended_and_a_command_line_is_not() {
    const Election watcher(file_.get());
    {
      Other person([this] { return lead(file_.get(), Election::As::command_line); });
      CPPUNIT_ASSERT(end_silent(watcher, *watcher.holder()) == Ending::not_allowed);
      CPPUNIT_ASSERT_EQUAL(SIGKILL, person.end());  // by ourselves, just now
    }
    Other agent([this] { return lead(file_.get(), Election::As::agent); });
    CPPUNIT_ASSERT_EQUAL(0, kill(agent.pid(), SIGSTOP));
    CPPUNIT_ASSERT(end_silent(watcher, *watcher.holder()) == Ending::ended);
    CPPUNIT_ASSERT_EQUAL(SIGKILL, agent.wait());
    CPPUNIT_ASSERT(!watcher.holder());
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(ElectionTest);

}  // namespace
}  // namespace evercert
