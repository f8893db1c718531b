#include <cppunit/extensions/HelperMacros.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <condition_variable>
#include <fstream>
#include <sstream>
#include <thread>

#include "agent/run/agent.h"
#include "evercert/board.h"
#include "fake/fake_issuer.h"
#include "fake/state_directory.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

using namespace std::chrono_literals;

class QuietLogger : public Logger {
 public:
  void write(LogLevel, std::string_view) override {}
};

// One server with its agent on a thread, on a state directory that it may share.
class Server {
 public:
  Server(const StateDirectory& state, const std::string& instance, const std::vector<std::string>& names, FakeIssuer* ca,
         Time started = std::chrono::system_clock::now())
      : store_(state.another_store()),
        directory_(open((state.path() + "/state").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
        leader_file_(open_leader_file(state.path()).value()),
        reached_(leader_file_.get()),
        wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    CPPUNIT_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel_) == 0);
    auto board = Board::map(Board::create().value().get(), Board::Access::write);
    auto report = ReportPage::map(ReportPage::create().value().get());
    CPPUNIT_ASSERT(board && report);
    board_ = std::make_unique<Board>(std::move(board).value());
    // What an earlier agent of the server may have left.
    CPPUNIT_ASSERT(board_->add_answer(ChallengeKind::http_01, "old", "answer", clock_.now() - 1s).has_value());
    report_ = std::make_unique<ReportPage>(std::move(report).value());
    Json certificates = Json::array();
    for (const auto& name : names) certificates.push_back({{"name", name}, {"identifiers", {name}}, {"proof", false}});
    settings_ = dump_json({{"state_path", state.path()},
                           {"issuers", {{"ca", {{"uri", "https://ca.test/directory"}, {"accept_terms_of_service", true}}}}},
                           {"certificates", certificates}});
    Settings settings;
    CPPUNIT_ASSERT(read_settings_text(settings, settings_, "evercert.json").has_value());
    CarriedFiles files({});
    auto checked = check(settings, files, false);
    CPPUNIT_ASSERT_MESSAGE(checked.complaints.empty() ? "" : checked.complaints.front().message, checked.plan.has_value());
    checked.plan->server = "test " + instance;
    events_.subscribe([this](const Event& event) {
      const std::lock_guard lock(mutex_);
      seen_.push_back(event);
      changed_.notify_all();
    });
    context_.emplace(AgentContext{
        instance,
        state.path(),
        directory_.get(),
        leader_file_.get(),
        reached_,
        std::make_shared<const Plan>(std::move(*checked.plan)),
        settings_,
        {},
        state.keys(),
        started,
        clock_,
        log_,
        events_,
        *store_,
        *board_,
        *report_,
        loop_,
        [ca](const IssuerSpec&) -> Result<std::unique_ptr<Issuer>> { return std::unique_ptr<Issuer>(new Forwarder(*ca)); }});
    agent_ = std::make_unique<Agent>(*context_, Agent::Descriptors{channel_[0], wake_.get(), -1});
    thread_ = std::thread([this] { ended_ = agent_->run().has_value(); });
  }
  ~Server() {
    stop();
    close(channel_[0]);
  }
  // The server goes: end of file for its agent.
  void stop() {
    if (!thread_.joinable()) return;
    close(channel_[1]);
    thread_.join();
  }
  bool wait_for(const std::string& event, const std::string& certificate = "", std::chrono::milliseconds patience = 30s) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [&] {
      return std::any_of(seen_.begin(), seen_.end(), [&](const Event& one) {
        return one.name == event && (certificate.empty() || one.certificate == certificate);
      });
    });
  }
  // The board of a follower is filled by its own watch, which tells nobody.
  bool serves(const std::string& certificate) {
    for (int i = 0; i < 3000; ++i) {
      const auto slot = board_->find(certificate);
      if (slot && board_->generation(*slot) > 0) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }
  bool becomes(Agent::Role role) {
    for (int i = 0; i < 3000; ++i) {
      if (agent_->role() == role) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }
  // The CA asks this server for the answer to the challenge of a name, if it has one by now.
  void is_asked_for(const std::string& name) {
    const std::string token = to_base64url({reinterpret_cast<const std::uint8_t*>(name.data()), name.size()});
    static_cast<void>(answer_challenge(*board_, report_.get(), wake_.get(), ChallengeKind::http_01, token));
  }
  bool forgets_expired_answers() {
    for (int i = 0; i < 3000; ++i) {
      if (!board_->find_answer(ChallengeKind::http_01, "old")) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }
  [[nodiscard]] bool ended_well() const { return ended_; }

 private:
  class Forwarder : public Issuer {
   public:
    explicit Forwarder(FakeIssuer& ca) : ca_(ca) {}
    [[nodiscard]] const IssuerSpec& spec() const override { return ca_.spec(); }
    Result<std::string> test_login() override { return ca_.test_login(); }
    Result<IssuerOrder> place(const Wanted& wanted) override { return ca_.place(wanted); }
    Result<std::optional<IssuerOrder>> find(const Wanted& wanted, const std::vector<std::string>& known) override {
      return ca_.find(wanted, known);
    }
    Result<std::vector<Challenge>> challenges(IssuerOrder& order) override { return ca_.challenges(order); }
    Result<Done> respond(const IssuerOrder& order, const Challenge& challenge) override {
      return ca_.respond(order, challenge);
    }
    Result<IssuerOrder> refresh(const IssuerOrder& order) override { return ca_.refresh(order); }
    Result<IssuerOrder> finalize(const IssuerOrder& order, const Wanted& wanted) override {
      return ca_.finalize(order, wanted);
    }
    Result<IssuedCertificate> collect(const IssuerOrder& order) override { return ca_.collect(order); }
    Result<Done> abandon(const IssuerOrder& order) override { return ca_.abandon(order); }
    Result<Fulfilment> revoke(BytesView leaf, const Revocation& why, const Secret* key) override {
      return ca_.revoke(leaf, why, key);
    }

   private:
    FakeIssuer& ca_;
  };

  SystemClock clock_;
  QuietLogger log_;
  std::unique_ptr<Store> store_;
  Descriptor directory_;
  Descriptor leader_file_;
  ReachedNumbers reached_;
  Descriptor wake_;
  int channel_[2] = {-1, -1};
  std::unique_ptr<Board> board_;
  std::unique_ptr<ReportPage> report_;
  std::string settings_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Event> seen_;
  Events events_;
  PollLoop loop_;
  std::optional<AgentContext> context_;
  std::unique_ptr<Agent> agent_;
  std::thread thread_;
  std::atomic<bool> ended_{false};
};

class AgentTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(AgentTest);
  CPPUNIT_TEST(an_agent_alone_leads_and_publishes_and_ends_with_its_server);
  CPPUNIT_TEST(a_second_server_follows_and_gets_what_the_leader_orders_for_it);
  CPPUNIT_TEST(a_validation_request_at_the_follower_is_known_to_the_leader);
  CPPUNIT_TEST(a_follower_frees_what_has_expired_on_its_board);
  CPPUNIT_TEST(a_newer_agent_of_the_same_server_takes_over);
  CPPUNIT_TEST(an_older_agent_of_the_same_server_does_not_take_over);
  CPPUNIT_TEST(the_end_of_the_leader_makes_the_follower_lead);
  CPPUNIT_TEST(a_restarted_agent_orders_nothing_that_is_there);
  CPPUNIT_TEST(renew_on_the_control_socket_answers_with_events_and_an_end);
  CPPUNIT_TEST(an_unknown_verb_and_an_unknown_name_are_refused);
  CPPUNIT_TEST(a_client_that_never_reads_blocks_nobody);
  CPPUNIT_TEST(two_plans_that_differ_on_a_name_are_a_conflict_by_that_name);
  CPPUNIT_TEST(a_bundle_under_another_seal_key_is_held_and_never_replaced);
  CPPUNIT_TEST_SUITE_END();

 public:
  AgentTest() {
    IssuerSpec spec;
    spec.name = "ca";
    spec.uri = "https://ca.test/directory";
    ca_ = std::make_unique<FakeIssuer>(spec, clock_);
  }

  void an_agent_alone_leads_and_publishes_and_ends_with_its_server() {
    Server one(state_, "one", {"a.test", "b.test"}, ca_.get());
    CPPUNIT_ASSERT(one.wait_for("published", "a.test") && one.wait_for("published", "b.test"));
    CPPUNIT_ASSERT(one.serves("a.test") && one.serves("b.test"));
    one.stop();
    CPPUNIT_ASSERT(one.ended_well());
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca_->orders());
  }

  void a_second_server_follows_and_gets_what_the_leader_orders_for_it() {
    Server one(state_, "one", {"a.test"}, ca_.get());
    CPPUNIT_ASSERT(one.wait_for("published", "a.test"));
    Server two(state_, "two", {"a.test", "c.test"}, ca_.get());
    CPPUNIT_ASSERT(two.becomes(Agent::Role::follower));
    CPPUNIT_ASSERT(one.wait_for("published", "c.test"));
    CPPUNIT_ASSERT(two.serves("a.test") && two.serves("c.test"));
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca_->orders());
  }

  void a_validation_request_at_the_follower_is_known_to_the_leader() {
    Server one(state_, "one", {"a.test"}, ca_.get());
    CPPUNIT_ASSERT(one.wait_for("published", "a.test"));
    ca_->validating = true;
    Server two(state_, "two", {"c.test"}, ca_.get());
    // A request that comes before anybody waits for it counts for nothing: the CA asks again and again.
    for (int i = 0; i < 3000 && !one.wait_for("challenge_seen", "c.test", 10ms); ++i) two.is_asked_for("c.test");
    CPPUNIT_ASSERT(one.wait_for("challenge_seen", "c.test", 0ms));
    ca_->validating = false;
    CPPUNIT_ASSERT(one.wait_for("published", "c.test"));
  }

  void a_follower_frees_what_has_expired_on_its_board() {
    Server one(state_, "one", {"a.test"}, ca_.get());
    CPPUNIT_ASSERT(one.wait_for("published", "a.test"));
    Server two(state_, "two", {"a.test"}, ca_.get());
    CPPUNIT_ASSERT(two.becomes(Agent::Role::follower));
    CPPUNIT_ASSERT(two.forgets_expired_answers());
  }

  void a_newer_agent_of_the_same_server_takes_over() {
    Server old(state_, "one", {"a.test"}, ca_.get());
    CPPUNIT_ASSERT(old.wait_for("published", "a.test"));
    Server fresh(state_, "one", {"a.test", "b.test"}, ca_.get());
    CPPUNIT_ASSERT(fresh.becomes(Agent::Role::leader));
    CPPUNIT_ASSERT(old.becomes(Agent::Role::retired));
    CPPUNIT_ASSERT(fresh.wait_for("published", "b.test"));
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca_->orders());
  }

  void an_older_agent_of_the_same_server_does_not_take_over() {
    Server fresh(state_, "one", {"a.test"}, ca_.get());
    CPPUNIT_ASSERT(fresh.wait_for("published", "a.test"));
    Server old(state_, "one", {"a.test"}, ca_.get(), std::chrono::system_clock::now() - 1h);
    CPPUNIT_ASSERT(old.becomes(Agent::Role::follower));
    CPPUNIT_ASSERT(fresh.becomes(Agent::Role::leader));
  }

  void the_end_of_the_leader_makes_the_follower_lead() {
    Server one(state_, "one", {"a.test"}, ca_.get());
    CPPUNIT_ASSERT(one.wait_for("published", "a.test"));
    Server two(state_, "two", {"c.test"}, ca_.get());
    CPPUNIT_ASSERT(two.becomes(Agent::Role::follower));
    one.stop();
    CPPUNIT_ASSERT(two.becomes(Agent::Role::leader));
    CPPUNIT_ASSERT(two.serves("c.test"));
  }

  void a_restarted_agent_orders_nothing_that_is_there() {
    for (int life = 0; life < 3; ++life) {
      Server one(state_, "one", {"a.test"}, ca_.get());
      CPPUNIT_ASSERT(one.serves("a.test"));
      CPPUNIT_ASSERT(one.wait_for("renewal_scheduled", "a.test"));
    }
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca_->orders());
  }

  void renew_on_the_control_socket_answers_with_events_and_an_end() {
    Server one(state_, "one", {"a.test"}, ca_.get());
    CPPUNIT_ASSERT(one.wait_for("renewal_scheduled", "a.test"));
    const Json fresh = ask({{"verb", "renew"}, {"name", "a.test"}, {"force", false}});
    CPPUNIT_ASSERT_EQUAL(0, fresh.at("exit").get<int>());
    CPPUNIT_ASSERT(fresh.at("message").get<std::string>().starts_with("nothing to do: a.test was issued a short while ago"));
    const Json done = ask({{"verb", "renew"}, {"name", "a.test"}, {"force", true}});
    CPPUNIT_ASSERT_EQUAL_MESSAGE(done.dump(), 0, done.at("exit").get<int>());
    CPPUNIT_ASSERT(events_heard_ > 3);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ca_->orders());
    const Json rolled = ask({{"verb", "rollback"}, {"name", "a.test"}});
    CPPUNIT_ASSERT_EQUAL_MESSAGE(rolled.dump(), 0, rolled.at("exit").get<int>());
  }

  void an_unknown_verb_and_an_unknown_name_are_refused() {
    Server one(state_, "one", {"a.test"}, ca_.get());
    CPPUNIT_ASSERT(one.wait_for("published", "a.test"));
    CPPUNIT_ASSERT_EQUAL(2, ask({{"verb", "dance"}}).at("exit").get<int>());
    CPPUNIT_ASSERT_EQUAL(1, ask({{"verb", "renew"}, {"name", "z.test"}}).at("exit").get<int>());
    CPPUNIT_ASSERT_EQUAL(0, ask({{"verb", "ping"}}).at("exit").get<int>());
    CPPUNIT_ASSERT_EQUAL(1, ask({{"verb", "attach"}, {"server", "x"}, {"plan", "AAAA"}}).at("exit").get<int>());
  }

  void a_client_that_never_reads_blocks_nobody() {
    Server one(state_, "one", {"a.test"}, ca_.get());
    CPPUNIT_ASSERT(one.wait_for("published", "a.test"));
    auto silent = ControlConnection::open(state_.path(), state_.keys().agent);
    CPPUNIT_ASSERT(silent.has_value());
    CPPUNIT_ASSERT(silent->prove(30s).value());
    CPPUNIT_ASSERT(silent->send({{"verb", "renew"}, {"name", "a.test"}, {"force", true}}).has_value());
    for (int i = 0; i < 20; ++i) CPPUNIT_ASSERT_EQUAL(0, ask({{"verb", "ping"}}).at("exit").get<int>());
  }

  void two_plans_that_differ_on_a_name_are_a_conflict_by_that_name() {
    PlanUnion plans;
    auto first = std::make_shared<Plan>();
    CertificateSpec certificate;
    certificate.name = "a.test";
    certificate.identifiers = {{IdentifierKind::dns, "a.test"}};
    certificate.issuers = {"ca"};
    certificate.keys = {{KeyAlgorithm::ecdsa, 256}};
    IssuerSpec issuer;
    issuer.name = "ca";
    issuer.uri = "https://ca.test/directory";
    first->issuers = {issuer};
    first->certificates = {certificate};
    auto second = std::make_shared<Plan>(*first);
    second->certificates.front().keys = {{KeyAlgorithm::rsa, 2048}};
    CPPUNIT_ASSERT(plans.put({"one", "one", first, true}).added == std::vector<std::string>{"a.test"});
    const auto change = plans.put({"two", "two", second, false});
    CPPUNIT_ASSERT(change.added.empty());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, change.conflicts.size());
    CPPUNIT_ASSERT_EQUAL(std::string("a.test"), change.conflicts.front().first);
    CPPUNIT_ASSERT(plans.find("a.test")->certificate.keys == certificate.keys);
    CPPUNIT_ASSERT(plans.remove("two").removed.empty());
  }

  void a_bundle_under_another_seal_key_is_held_and_never_replaced() {
    {
      Server one(state_, "one", {"a.test"}, ca_.get());
      CPPUNIT_ASSERT(one.wait_for("renewal_scheduled", "a.test"));
    }
    const std::string path = bundle_path("a.test", 1);
    auto object = state_.store().get(path);
    CPPUNIT_ASSERT(object && *object);
    // The key id begins after "EVERCERT", the kind and the format.
    (*object)->value[11] ^= 1U;
    CPPUNIT_ASSERT(state_.store().put(path, (*object)->value, {}).has_value());
    Server again(state_, "one", {"a.test"}, ca_.get());
    CPPUNIT_ASSERT(again.wait_for("action_required", "a.test"));
    CPPUNIT_ASSERT_EQUAL(4, ask({{"verb", "renew"}, {"name", "a.test"}, {"force", true}}).at("exit").get<int>());
    again.stop();
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ca_->orders());
    auto untouched = state_.store().get(path);
    CPPUNIT_ASSERT(untouched && *untouched && (*untouched)->value == (*object)->value);
  }

 private:
  Json ask(const Json& request) {
    auto connection = ControlConnection::open(state_.path(), state_.keys().agent);
    CPPUNIT_ASSERT(connection.has_value());
    CPPUNIT_ASSERT(connection->prove(30s).value());
    CPPUNIT_ASSERT(connection->send(request).has_value());
    events_heard_ = 0;
    for (int i = 0; i < 100; ++i) {
      auto message = connection->receive(30s);
      CPPUNIT_ASSERT_MESSAGE(message ? "" : message.error().message, message.has_value());
      CPPUNIT_ASSERT(message->has_value());
      if ((**message).contains("done")) return **message;
      ++events_heard_;
    }
    CPPUNIT_FAIL("the answer never ended");
    return {};
  }

  StateDirectory state_;
  SystemClock clock_;
  std::unique_ptr<FakeIssuer> ca_;
  int events_heard_ = 0;
};

CPPUNIT_TEST_SUITE_REGISTRATION(AgentTest);

}  // namespace
}  // namespace evercert
