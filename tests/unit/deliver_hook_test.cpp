// The operator's command: told once what is new, told again until it succeeds, and never in anybody's way.
#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <sstream>

#include "agent/deliver/hook.h"
#include "agent/store/file_store.h"
#include "evercert/descriptor.h"
#include "fake/kept_log.h"
#include "fake/leader_of_tests.h"
#include "store_fixture.h"

namespace evercert::test {

class DeliverHookTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(DeliverHookTest);
  CPPUNIT_TEST(it_is_told_what_is_new_in_its_environment);
  CPPUNIT_TEST(a_generation_is_told_once_also_over_restarts);
  CPPUNIT_TEST(another_command_has_been_told_nothing);
  CPPUNIT_TEST(what_comes_together_is_told_together_but_never_too_much_at_once);
  CPPUNIT_TEST(one_that_fails_is_run_again_until_it_succeeds);
  CPPUNIT_TEST(one_that_cannot_be_run_is_named);
  CPPUNIT_TEST(one_that_takes_too_long_is_ended_with_all_it_started);
  CPPUNIT_TEST(one_that_runs_does_not_hold_up_the_end);
  CPPUNIT_TEST(a_certificate_of_another_server_is_not_told);
  CPPUNIT_TEST_SUITE_END();

 private:
  const TemporaryDirectory folder_;
  const TemporaryDirectory state_;
  const std::unique_ptr<Store> store_ =
      make_file_store(Descriptor(::open(state_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), leader_of_tests(), {});
  KeptLog log_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> outcomes_;

  std::unique_ptr<Hook> hook(const std::string& script, const std::string& exports = "") {
    auto plan = std::make_shared<Plan>();
    plan->exports.hook = {"/bin/sh", "-c", script};
    plan->exports.path = exports;
    for (int number = 0; number < 1000; ++number) plan->certificates.emplace_back().name = name_of(number);
    return std::make_unique<Hook>(
        plan, *store_, [](const std::function<void()>& action) { action(); }, log_, std::chrono::milliseconds(20));
  }
  static std::string name_of(int number) { return "n" + std::to_string(number) + ".test"; }
  static CertificateSpec spec(const std::string& name, const std::string& more = "") {
    CertificateSpec made;
    made.name = name;
    made.identifiers = {{IdentifierKind::dns, name}, {IdentifierKind::dns, more.empty() ? "www." + name : more}};
    return made;
  }
  void give(Hook& to, const CertificateSpec& certificate, std::uint64_t generation = 1) {
    to.give(certificate, generation, [this](const Result<Done>& result) {
      const std::lock_guard lock(mutex_);
      outcomes_.push_back(result ? "done" : result.error().message);
      changed_.notify_all();
    });
  }
  std::string outcome(std::size_t number = 0) {
    std::unique_lock lock(mutex_);
    CPPUNIT_ASSERT(changed_.wait_for(lock, std::chrono::seconds(20), [&] { return outcomes_.size() > number; }));
    return outcomes_[number];
  }
  [[nodiscard]] std::string told() const {
    const Bytes bytes = file_bytes(folder_ / "told");
    return {bytes.begin(), bytes.end()};
  }
  [[nodiscard]] std::string telling(const std::string& what) const { return "echo " + what + " >>" + (folder_ / "told"); }

 public:
  void it_is_told_what_is_new_in_its_environment() {
    auto to = hook(telling("\"$EVERCERT_CERTIFICATES|$EVERCERT_NAMES|$EVERCERT_"
                           "EXPORT_PATH|$HOME\""),
                   "/srv/pem");
    give(*to, spec("n1.test"));
    CPPUNIT_ASSERT_EQUAL(std::string("done"), outcome());
    CPPUNIT_ASSERT_EQUAL(std::string("n1.test|n1.test www.n1.test|/srv/pem|\n"), told());
  }

  void a_generation_is_told_once_also_over_restarts() {
    for (const std::uint64_t generation : {1, 1, 2, 1, 2}) {
      auto to = hook(telling("$EVERCERT_CERTIFICATES"));
      give(*to, spec("n1.test"), generation);
      CPPUNIT_ASSERT_EQUAL(std::string("done"), outcome(outcomes_.size()));
    }
    CPPUNIT_ASSERT_EQUAL(std::string("n1.test\nn1.test\n"), told());
  }

  void another_command_has_been_told_nothing() {
    for (const char* const word : {"first", "second", "first"}) {
      auto to = hook(telling(word));
      give(*to, spec("n1.test"));
      outcome(outcomes_.size());
    }
    CPPUNIT_ASSERT_EQUAL(std::string("first\nsecond\n"), told());
  }

  void what_comes_together_is_told_together_but_never_too_much_at_once() {
    auto to = hook(telling("$EVERCERT_CERTIFICATES | wc -w"));
    const std::string long_name = std::string(63, 'a') + "." + std::string(63, 'b') + ".test";
    for (int number = 0; number < 1000; ++number) give(*to, spec(name_of(number), long_name));
    outcome(999);
    std::istringstream runs(told());
    int all = 0;
    int count = 0;
    for (int one = 0; runs >> one; ++count) all += one;
    CPPUNIT_ASSERT_EQUAL(1000, all);
    CPPUNIT_ASSERT_MESSAGE(told(), count >= 3 && count <= 20);
  }

  void one_that_fails_is_run_again_until_it_succeeds() {
    auto to = hook(telling("x") + "; test $(wc -l <" + (folder_ / "told") + ") = 3");
    give(*to, spec("n1.test"));
    CPPUNIT_ASSERT(outcome(0).find("ended with exit code 1") != std::string::npos);
    CPPUNIT_ASSERT(outcome(1).find("ended with exit code 1") != std::string::npos);
    CPPUNIT_ASSERT_EQUAL(std::string("done"), outcome(2));
    CPPUNIT_ASSERT(!log_.line_with("run again in").empty());
  }

  void one_that_cannot_be_run_is_named() {
    const auto done = run_hook({folder_ / "no-such-program"}, {}, std::chrono::seconds(20), {});
    CPPUNIT_ASSERT(!done && done.error().message.find("no-such-program cannot be run") != std::string::npos);
  }

  void one_that_takes_too_long_is_ended_with_all_it_started() {
    const std::string path = folder_ / "lives";
    const auto done =
        run_hook({"/bin/sh", "-c", "exec 3>" + path + "; flock 3; sleep 600 & sleep 600"}, {}, std::chrono::seconds(1), {});
    CPPUNIT_ASSERT(!done && done.error().message.find("longer than 1 s") != std::string::npos);
    // Its lock is free once every process that inherited it is gone.
    CPPUNIT_ASSERT(
        run_hook({"/bin/sh", "-c", "exec 3>" + path + "; flock -w 20 3"}, {}, std::chrono::seconds(30), {}).has_value());
  }

  void one_that_runs_does_not_hold_up_the_end() {
    auto to = hook(telling("begun") + "; read line <" + (folder_ / "gate") + "; " + telling("ended"));
    CPPUNIT_ASSERT_EQUAL(0, ::mkfifo((folder_ / "gate").c_str(), 0600));
    give(*to, spec("n1.test"));
    while (!std::filesystem::exists(folder_ / "told")) ::poll(nullptr, 0, 5);
    to.reset();
    // It was left alone, and comes to its end by itself.
    const Descriptor gate(::open((folder_ / "gate").c_str(), O_WRONLY | O_CLOEXEC));
    CPPUNIT_ASSERT_EQUAL(ssize_t{1}, ::write(gate.get(), "\n", 1));
    while (told() != "begun\nended\n") ::poll(nullptr, 0, 5);
    CPPUNIT_ASSERT(outcomes_.empty());
  }

  void a_certificate_of_another_server_is_not_told() {
    auto to = hook(telling("$EVERCERT_CERTIFICATES"));
    give(*to, spec("elsewhere.test"));
    give(*to, spec("n1.test"));
    outcome();
    CPPUNIT_ASSERT_EQUAL(std::string("n1.test\n"), told());
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(DeliverHookTest);

}  // namespace evercert::test
