// What the command line asks the agent for about accounts at commercial CAs: which orders, which keys, and sync.
#include <cppunit/TestFixture.h>
#include <cppunit/extensions/HelperMacros.h>

#include "unit/cli_ground.h"

namespace {

using namespace evercert;
using namespace evercert::cli_tests;

class OrdersTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(OrdersTest);
  CPPUNIT_TEST(keys_of_a_folder_go_along_and_other_files_do_not);
  CPPUNIT_TEST(a_file_without_a_key_is_refused_before_anybody_is_asked);
  CPPUNIT_TEST(filters_go_along);
  CPPUNIT_TEST(words_that_are_no_state_or_day_are_refused);
  CPPUNIT_TEST(sync_names_the_issuer_or_none);
  CPPUNIT_TEST_SUITE_END();

 public:
  void setUp() override {
    folder_.emplace();
    std::filesystem::create_directories(folder_->path() + "/state");
    std::filesystem::create_directories(keys());
  }
  void tearDown() override { folder_.reset(); }

  void keys_of_a_folder_go_along_and_other_files_do_not() {
    const MadeCertificate made = make_certificate("DNS:a.test", 86400);
    write_text(keys() + "/a.key", made.key_pem);
    write_text(keys() + "/a.crt", made.pem);
    write_text(keys() + "/both.pem", made.pem + make_certificate("DNS:b.test", 86400).key_pem);
    write_text(keys() + "/locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    FakeAgent agent(folder_->path(), done);
    const Outcome outcome = run({"import", "issuer", "bought", "--key", keys(), "--state", folder_->path()});
    CPPUNIT_ASSERT_EQUAL_MESSAGE(outcome.err, int{exit_done}, outcome.exit);
    CPPUNIT_ASSERT_MESSAGE(outcome.err, holds(outcome.err, "locked.key"));
    const Json request = agent.request();
    CPPUNIT_ASSERT(request["verb"] == "import" && request["issuer"] == "bought");
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, request["keys"].size());
    CPPUNIT_ASSERT(request["open"] == false && !request.contains("since"));
  }

  void a_file_without_a_key_is_refused_before_anybody_is_asked() {
    write_text(keys() + "/a.crt", make_certificate("DNS:a.test", 86400).pem);
    for (const std::string& path : {keys() + "/a.crt", keys() + "/nowhere.key"}) {
      const Outcome outcome = run({"import", "issuer", "bought", "--key", path, "--state", folder_->path()});
      CPPUNIT_ASSERT_EQUAL_MESSAGE(outcome.err, int{exit_usage}, outcome.exit);
      CPPUNIT_ASSERT_MESSAGE(outcome.err, holds(outcome.err, path));
    }
  }

  void filters_go_along() {
    FakeAgent agent(folder_->path(), done);
    const Outcome outcome = run({"import", "issuer", "bought", "a.test", "b.test", "--with", "expired,revoked", "--group", "7",
                                 "--since", "2026-01-02", "--until", "2026-03-04", "--state", folder_->path()});
    CPPUNIT_ASSERT_EQUAL_MESSAGE(outcome.err, int{exit_done}, outcome.exit);
    const Json request = agent.request();
    CPPUNIT_ASSERT(request["names"] == Json::array({"a.test", "b.test"}));
    CPPUNIT_ASSERT(request["with"] == Json::array({"expired", "revoked"}));
    CPPUNIT_ASSERT(request["group"] == "7" && request["since"] == "2026-01-02" && request["until"] == "2026-03-04");
  }

  void words_that_are_no_state_or_day_are_refused() {
    for (const std::vector<std::string>& words : {std::vector<std::string>{"--with", "lost"},
                                                  {"--since", "yesterday"},
                                                  {"--since", "2026-13-45"},
                                                  {"--until", "2026-02-29"},
                                                  {"--until", "2026-1-2"},
                                                  {"--open", "--with", "expired"}}) {
      std::vector<std::string> arguments{"import", "issuer", "bought", "--state", folder_->path()};
      arguments.insert(arguments.end(), words.begin(), words.end());
      CPPUNIT_ASSERT_EQUAL_MESSAGE(words.back(), int{exit_usage}, run(arguments).exit);
    }
  }

  void sync_names_the_issuer_or_none() {
    for (const bool named : {true, false}) {
      FakeAgent agent(folder_->path(), done);
      std::vector<std::string> arguments{"sync", "--state", folder_->path()};
      if (named) arguments.push_back("bought");
      CPPUNIT_ASSERT_EQUAL(int{exit_done}, run(arguments).exit);
      const Json request = agent.request();
      CPPUNIT_ASSERT(request["verb"] == "sync" && request.contains("issuer") == named);
      std::filesystem::remove(control_socket_path(folder_->path()));
    }
  }

 private:
  static constexpr const char* done = "{\"done\":true,\"exit\":0,\"message\":\"fine\"}\n";
  [[nodiscard]] std::string keys() const { return folder_->path() + "/keys"; }
  std::optional<Folder> folder_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(OrdersTest);

}  // namespace
