// A keeper and what it starts, as real processes: the keeper is the test's child program run as `keep`.
#include <cppunit/extensions/HelperMacros.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "evercert/descriptor.h"
#include "evercert/link.h"
#include "launch_steps.h"

namespace evercert {

using launch_steps::KeptLog;
using launch_steps::ProgramDirectory;

class LaunchKeeperTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(LaunchKeeperTest);
  CPPUNIT_TEST(nothing_is_started_before_go);
  CPPUNIT_TEST(after_go_one_agent_runs_and_lets_traffic_go_first);
  CPPUNIT_TEST(a_killed_agent_is_started_again);
  CPPUNIT_TEST(one_that_always_ends_is_tried_again_with_pauses_and_told);
  CPPUNIT_TEST(keeper_and_agent_end_with_the_server);
  CPPUNIT_TEST(a_program_that_is_missing_or_no_keeper_is_told);
  CPPUNIT_TEST_SUITE_END();

 private:
  ProgramDirectory programs_;
  KeptLog log_;
  std::shared_ptr<Instance> instance_;
  Cycle cycle_;
  pid_t keeper_ = -1;
  std::optional<AgentLink> link_;

  Result<Done> start(const std::string& behaviour) {
    auto keeper = start_keeper({.path = programs_.program(behaviour)}, *instance_, cycle_);
    if (!keeper) return keeper.error();
    keeper_ = keeper->pid;
    auto ends = LinkEnds::create();
    link_.emplace(std::move(keeper->channel), std::move(ends->worker), log_);
    return Done{};
  }

  // Passes on what is said until `enough`, at most 20 s.
  bool tend_until(const std::function<bool()>& enough) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!enough()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      link_->tend();
      ::poll(nullptr, 0, 2);
    }
    return true;
  }

  [[nodiscard]] std::vector<pid_t> agents() const {
    std::vector<pid_t> found;
    for (const auto& [level, line] : log_.lines()) {
      const auto at = line.find("pid=");
      if (at != std::string::npos && line.find(';', at) != std::string::npos) found.push_back(std::stoi(line.substr(at + 4)));
    }
    return found;
  }

  static bool gone(pid_t pid) {
    const Descriptor process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U)));
    if (!process.valid()) return true;
    pollfd end{process.get(), POLLIN, 0};
    return ::poll(&end, 1, 0) > 0;
  }

 public:
  void setUp() override {
    auto instance = Instance::create();
    CPPUNIT_ASSERT(instance);
    instance_ = *instance;
    auto ends = LinkEnds::create();
    CPPUNIT_ASSERT(ends);
    instance_->link = std::move(ends->agent);
    SealKeys keys;
    keys.serving = {"0123456789abcdef", Secret::from_text("serving key, 32 bytes of secrecy")};
    keys.agent = {"0123456789abcdef", Secret::from_text("agent key, 32 bytes of secrecy!!")};
    DiskFiles files;
    auto cycle = Cycle::create({}, keys, files, launch_steps::some_file());
    CPPUNIT_ASSERT(cycle);
    cycle_ = std::move(*cycle);
  }

  void tearDown() override {
    link_.reset();
    if (keeper_ > 0) {
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      while (!gone(keeper_) && std::chrono::steady_clock::now() < deadline) ::poll(nullptr, 0, 2);
      CPPUNIT_ASSERT(gone(keeper_));
    }
  }

  void nothing_is_started_before_go() {
    const auto started = start("pid");
    CPPUNIT_ASSERT_MESSAGE(started ? "" : started.error().message, started);
    // Long enough for an agent to be there, were one started; it answers within milliseconds.
    for (unsigned turn = 0; turn < 50; ++turn) {
      link_->tend();
      ::poll(nullptr, 0, 2);
    }
    CPPUNIT_ASSERT(log_.lines().empty() && !gone(keeper_));
  }

  void after_go_one_agent_runs_and_lets_traffic_go_first() {
    CPPUNIT_ASSERT(start("pid"));
    link_->go();
    link_->go();  // said twice, done once
    CPPUNIT_ASSERT_MESSAGE(log_.all(), tend_until([&] { return !agents().empty(); }));
    CPPUNIT_ASSERT(!log_.line_with("nice=10").empty());
    CPPUNIT_ASSERT(!log_.line_with("link=there").empty());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, agents().size());
  }

  void a_killed_agent_is_started_again() {
    CPPUNIT_ASSERT(start("pid"));
    link_->go();
    CPPUNIT_ASSERT(tend_until([&] { return agents().size() == 1; }));
    CPPUNIT_ASSERT_EQUAL(0, ::kill(agents().front(), SIGKILL));
    CPPUNIT_ASSERT_MESSAGE(log_.all(), tend_until([&] { return agents().size() == 2; }));
    CPPUNIT_ASSERT(!gone(keeper_));
  }

  void one_that_always_ends_is_tried_again_with_pauses_and_told() {
    CPPUNIT_ASSERT(start("crash"));
    link_->go();
    const auto ends = [&] {
      const auto lines = log_.lines();
      return std::count_if(lines.begin(), lines.end(),
                           [](const auto& line) { return line.second.find("signal 9") != std::string::npos; });
    };
    CPPUNIT_ASSERT_MESSAGE(log_.all(), tend_until([&] { return ends() >= 2; }));
    CPPUNIT_ASSERT(!gone(keeper_));
  }

  void keeper_and_agent_end_with_the_server() {
    CPPUNIT_ASSERT(start("pid"));
    link_->go();
    CPPUNIT_ASSERT(tend_until([&] { return agents().size() == 1; }));
    const pid_t agent = agents().front();
    link_.reset();
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while ((!gone(agent) || !gone(keeper_)) && std::chrono::steady_clock::now() < deadline) ::poll(nullptr, 0, 2);
    CPPUNIT_ASSERT(gone(agent) && gone(keeper_));
  }

  void a_program_that_is_missing_or_no_keeper_is_told() {
    const auto missing = start_keeper({.path = "/no/such/program"}, *instance_, cycle_);
    CPPUNIT_ASSERT(!missing);
    CPPUNIT_ASSERT_MESSAGE(missing.error().message, missing.error().message.find("option program") != std::string::npos);
    const auto other = start_keeper({.path = "/bin/true"}, *instance_, cycle_);
    CPPUNIT_ASSERT(!other);
    CPPUNIT_ASSERT_MESSAGE(other.error().message, other.error().message.find("before it was ready") != std::string::npos);
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(LaunchKeeperTest);

}  // namespace evercert
