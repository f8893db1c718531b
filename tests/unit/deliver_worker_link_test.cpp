// The agent's side of the link to a HAProxy worker: what is sent, how much at a time, and what is done about a worker that
// refuses. The worker is this test.
#include <cppunit/extensions/HelperMacros.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <mutex>
#include <thread>

#include "agent/deliver/worker_link.h"
#include "evercert/board.h"
#include "evercert/launch.h"
#include "evercert/link.h"
#include "fake/kept_log.h"
#include "store_fixture.h"

namespace evercert::test {

class RunWorkerLinkTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(RunWorkerLinkTest);
  CPPUNIT_TEST(a_generation_is_done_when_the_worker_says_so);
  CPPUNIT_TEST(what_the_worker_read_from_its_files_is_not_sent);
  CPPUNIT_TEST(a_certificate_of_another_server_is_not_sent);
  CPPUNIT_TEST(a_refusal_is_told_and_the_same_is_sent_again);
  CPPUNIT_TEST(only_a_few_lie_about_in_the_socket);
  CPPUNIT_TEST(a_newer_generation_takes_the_place_of_one_that_waits);
  CPPUNIT_TEST(what_was_never_sent_cannot_be_answered);
  CPPUNIT_TEST(a_chain_too_long_for_a_worker_is_told);
  CPPUNIT_TEST(a_wish_to_renew_is_answered_and_never_trusted);
  CPPUNIT_TEST(a_worker_that_went_harms_nobody);
  CPPUNIT_TEST_SUITE_END();

 private:
  const LittleCa ca_;
  KeptLog log_;
  PollLoop loop_;
  std::shared_ptr<Instance> instance_;
  std::optional<Board> board_;
  std::optional<ReportPage> report_;
  Descriptor agent_;
  Descriptor keeper_;
  std::unique_ptr<AgentLink> worker_;
  std::unique_ptr<WorkerLink> link_;
  std::mutex mutex_;
  std::vector<std::string> outcomes_;
  std::atomic<bool> leads_{false};
  std::thread thread_;

  static std::string name_of(unsigned index) { return "a" + std::to_string(index) + ".test"; }

  Bundle bundle(const std::string& name, std::uint64_t generation) const {
    Bundle made = make_bundle(name, ca_);
    made.generation = generation;
    return made;
  }

  void give(const Bundle& made) {
    CertificateSpec spec;
    spec.name = made.name;
    spec.identifiers = made.identifiers;
    spec.keys = {KeySpec{}};
    link_->give(spec, made, [this](const Result<Done>& result) {
      const std::lock_guard lock(mutex_);
      outcomes_.push_back(result ? "done" : result.error().message);
    });
  }

  // The agent's loop runs on a thread of its own; `enough` on this one.
  static bool run_until(const std::function<bool()>& enough, std::chrono::milliseconds patience = std::chrono::seconds(20)) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    for (;;) {
      if (enough()) return true;
      if (std::chrono::steady_clock::now() > deadline) return false;
      ::poll(nullptr, 0, 1);
    }
  }

  std::vector<std::string> outcomes() {
    const std::lock_guard lock(mutex_);
    return outcomes_;
  }

  std::optional<LinkMessage> next(std::chrono::milliseconds patience = std::chrono::seconds(20)) {
    std::optional<LinkMessage> message;
    run_until([&] { return (message = worker_->receive()).has_value(); }, patience);
    return message;
  }

 public:
  void setUp() override {
    auto instance = Instance::create();
    CPPUNIT_ASSERT(instance);
    instance_ = *instance;
    board_.emplace(*Board::map(instance_->board.get(), Board::Access::write));
    report_.emplace(*ReportPage::map(instance_->report.get()));
    auto plan = std::make_shared<Plan>();
    for (unsigned index = 0; index < 40; ++index) {
      CertificateSpec spec;
      spec.name = name_of(index);
      spec.keys = {KeySpec{}};
      plan->certificates.push_back(spec);
    }
    auto ends = LinkEnds::create();
    CPPUNIT_ASSERT(ends);
    agent_ = std::move(ends->agent);
    std::array<int, 2> channel{-1, -1};
    CPPUNIT_ASSERT_EQUAL(0, ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel.data()));
    keeper_ = Descriptor(channel[0]);
    worker_ = std::make_unique<AgentLink>(Descriptor(channel[1]), std::move(ends->worker), log_);
    link_ = std::make_unique<WorkerLink>(loop_, agent_.get(), plan, *board_, *report_, log_);
    link_->on_renew([this](const std::string& certificate) { return leads_ ? certificate + " is renewed" : "not yet"; });
    thread_ = std::thread([this] { loop_.run(); });
  }

  void tearDown() override {
    loop_.post([this] { loop_.end(); });
    thread_.join();
  }

  void a_generation_is_done_when_the_worker_says_so() {
    give(bundle("a1.test", 5));
    const auto message = next();
    CPPUNIT_ASSERT(message && message->certificate == "a1.test" && message->generation == 5);
    CPPUNIT_ASSERT_EQUAL(std::string("a1.test.pem"), message->files.front().name);
    CPPUNIT_ASSERT(message->files.front().content.text().find("PRIVATE KEY") != std::string_view::npos);
    CPPUNIT_ASSERT(outcomes().empty());
    worker_->swapped("a1.test", 5);
    CPPUNIT_ASSERT(run_until([&] { return !outcomes().empty(); }));
    CPPUNIT_ASSERT_EQUAL(std::string("done"), outcomes().front());
  }

  void what_the_worker_read_from_its_files_is_not_sent() {
    report_->loaded(*board_->add("a1.test"), 5);
    give(bundle("a1.test", 5));
    CPPUNIT_ASSERT(run_until([&] { return !outcomes().empty(); }));
    CPPUNIT_ASSERT(!worker_->receive());
  }

  void a_certificate_of_another_server_is_not_sent() {
    give(bundle("elsewhere.test", 1));
    CPPUNIT_ASSERT(run_until([&] { return !outcomes().empty(); }));
    CPPUNIT_ASSERT_EQUAL(std::string("done"), outcomes().front());
    CPPUNIT_ASSERT(!worker_->receive());
  }

  void a_refusal_is_told_and_the_same_is_sent_again() {
    give(bundle("a1.test", 5));
    CPPUNIT_ASSERT(next());
    worker_->refused("a1.test", 5, "CertCache is locked");
    CPPUNIT_ASSERT(run_until([&] { return !outcomes().empty(); }));
    CPPUNIT_ASSERT_EQUAL(std::string("CertCache is locked"), outcomes().front());
    CPPUNIT_ASSERT(!log_.line_with("what it served before is served on").empty());
    const auto again = next();
    CPPUNIT_ASSERT(again && again->generation == 5);
    worker_->swapped("a1.test", 5);
    CPPUNIT_ASSERT(run_until([&] { return outcomes().size() == 2; }));
    CPPUNIT_ASSERT_EQUAL(std::string("done"), outcomes().back());
  }

  void only_a_few_lie_about_in_the_socket() {
    for (unsigned index = 0; index < 40; ++index) give(bundle(name_of(index), 1));
    std::vector<std::string> sent;
    while (const auto message = next(sent.size() < 16 ? std::chrono::milliseconds(20000) : std::chrono::milliseconds(50)))
      sent.push_back(message->certificate);
    CPPUNIT_ASSERT_EQUAL(std::size_t{16}, sent.size());
    worker_->swapped(sent.front(), 1);
    CPPUNIT_ASSERT(next());
    CPPUNIT_ASSERT(!next(std::chrono::milliseconds(50)));
  }

  void a_newer_generation_takes_the_place_of_one_that_waits() {
    give(bundle("a1.test", 5));
    CPPUNIT_ASSERT(next());
    give(bundle("a1.test", 6));
    const auto newer = next();
    CPPUNIT_ASSERT(newer && newer->generation == 6);
    worker_->swapped("a1.test", 5);  // too late
    worker_->swapped("a1.test", 6);
    CPPUNIT_ASSERT(run_until([&] { return outcomes().size() == 2; }));
  }

  void what_was_never_sent_cannot_be_answered() {
    worker_->swapped("a1.test", 9);
    worker_->refused("a2.test", 9, "because");
    give(bundle("a1.test", 5));
    CPPUNIT_ASSERT(next());
    worker_->swapped("a1.test", 6);
    CPPUNIT_ASSERT(!run_until([&] { return !outcomes().empty(); }, std::chrono::milliseconds(50)));
    worker_->swapped("a1.test", 5);
    CPPUNIT_ASSERT(run_until([&] { return !outcomes().empty(); }));
  }

  void a_chain_too_long_for_a_worker_is_told() {
    Bundle made = bundle("a1.test", 5);
    made.pairs.front().chain.assign(1000, made.pairs.front().chain.front());
    give(made);
    CPPUNIT_ASSERT(run_until([&] { return !outcomes().empty(); }));
    CPPUNIT_ASSERT_MESSAGE(outcomes().front(), outcomes().front().find("too much for a worker") != std::string::npos);
  }

  void a_wish_to_renew_is_answered_and_never_trusted() {
    CPPUNIT_ASSERT(worker_->ask_renewal("a1.test"));
    auto answer = next();
    CPPUNIT_ASSERT(answer && answer->said == "not yet");
    leads_ = true;
    CPPUNIT_ASSERT(worker_->ask_renewal("a1.test"));
    answer = next();
    CPPUNIT_ASSERT(answer && answer->said == "a1.test is renewed");
    CPPUNIT_ASSERT(worker_->ask_renewal(std::string(3000, 'x')));
    answer = next();
    CPPUNIT_ASSERT(answer && answer->certificate.size() == 255 && answer->said == "no certificate has this name");
  }

  void a_worker_that_went_harms_nobody() {
    worker_.reset();
    give(bundle("a1.test", 5));
    CPPUNIT_ASSERT(run_until([&] { return !outcomes().empty(); }));
    CPPUNIT_ASSERT_MESSAGE(outcomes().front(), outcomes().front().find("cannot reach the worker") != std::string::npos);
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(RunWorkerLinkTest);

}  // namespace evercert::test
