// The words of the command line: verbs, help, exit codes, reading commands and the conversation with the agent.
#include <cppunit/TestFixture.h>
#include <cppunit/extensions/HelperMacros.h>

#include "agent/observe/audit_trail.h"
#include "agent/observe/status_report.h"
#include "cli/terminal.h"
#include "unit/cli_ground.h"

namespace {

using namespace evercert;
using namespace evercert::cli_tests;

class Silence : public Logger {
 public:
  void write(LogLevel, std::string_view) override {}
};

StatusReport report() {
  const Time now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  StatusReport status;
  status.server = "nginx/1.22.1";
  status.version = "0.1.0";
  status.generated_at = now;
  status.last_run = now;
  status.agent = {"leader", 4711, now, {}};
  CertificateStatus served;
  served.name = "www.example.com";
  served.identifiers = {"www.example.com"};
  served.state = CertificateState::served;
  served.generation = 3;
  served.not_after = now + std::chrono::hours(24 * 80);
  served.served = CertificateStatus::Served{3, now, "127.0.0.1:443"};
  CertificateStatus failing;
  failing.name = "bad\x1b[2J.example.com";
  failing.state = CertificateState::failing;
  failing.problem = StatusProblem{"connection", "the CA\nis away", now, "wait\x1b[31m"};
  status.certificates = {served, failing};
  return status;
}

class WordsTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(WordsTest);
  CPPUNIT_TEST(a_mistyped_verb_gets_the_nearest_one);
  CPPUNIT_TEST(no_verb_and_wrong_words_are_usage_errors);
  CPPUNIT_TEST(every_help_text_ends_with_two_examples);
  CPPUNIT_TEST(a_refused_configuration_has_its_own_exit_code);
  CPPUNIT_TEST(the_configuration_tells_the_state_path);
  CPPUNIT_TEST(run_hands_its_words_to_the_agent);
  CPPUNIT_TEST(version_and_reference_are_printed);
  CPPUNIT_TEST(control_characters_never_reach_the_terminal);
  CPPUNIT_TEST_SUITE_END();

 public:
  void a_mistyped_verb_gets_the_nearest_one() {
    const Outcome outcome = run({"renwe", "www.example.com"});
    CPPUNIT_ASSERT_EQUAL(int{exit_usage}, outcome.exit);
    CPPUNIT_ASSERT_MESSAGE(outcome.err, holds(outcome.err, "did you mean \"renew\"?"));
    CPPUNIT_ASSERT(holds(run({"frobnicate"}).err, "--help"));
    CPPUNIT_ASSERT_EQUAL(std::string("status"), nearest_word("statsu", {"list", "status"}));
    CPPUNIT_ASSERT_EQUAL(std::string(), nearest_word("x", {"list", "status"}));
  }
  void no_verb_and_wrong_words_are_usage_errors() {
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{},
                                               {"--nonsense"},
                                               {"status", "--nonsense"},
                                               {"show"},
                                               {"renew"},
                                               {"renew", "a", "--all"},
                                               {"status", "--state", "a", "--config", "b"},
                                               {"import", "letsencrypt", "/etc"},
                                               {"rollback", "a", "--to", "x"},
                                               {"rollback", "a", "--to", "-1"},
                                               {"rollback", "a", "--to", "0"},
                                               {"rollback", "a", "--to", "18446744073709551615"},
                                               {"revoke", "a", "--reason", "x"},
                                               {"run"}}) {
      const Outcome outcome = run(words);
      const std::string what = words.empty() ? "nothing" : words.front();
      CPPUNIT_ASSERT_EQUAL_MESSAGE(what, int{exit_usage}, outcome.exit);
      CPPUNIT_ASSERT_MESSAGE(what, outcome.out.empty() && !outcome.err.empty());
    }
  }
  void every_help_text_ends_with_two_examples() {
    for (const char* verb : {"status", "list", "show", "renew", "rollback", "revoke", "import", "run", "version"}) {
      const Outcome outcome = run({verb, "--help"});
      CPPUNIT_ASSERT_EQUAL_MESSAGE(verb, int{exit_done}, outcome.exit);
      const std::size_t examples = outcome.out.find("Examples:");
      CPPUNIT_ASSERT_MESSAGE(verb, examples != std::string::npos && outcome.err.empty());
      const std::string command = std::string("  evercert ") + verb;
      const std::size_t first = outcome.out.find(command, examples);
      CPPUNIT_ASSERT_MESSAGE(outcome.out,
                             first != std::string::npos && outcome.out.find(command, first + 1) != std::string::npos);
    }
    CPPUNIT_ASSERT(holds(run({"--help"}).out, "renew"));
    CPPUNIT_ASSERT(!holds(run({"--help"}).out, "reference"));
    CPPUNIT_ASSERT(!holds(run({"run", "--help"}).out, "--descriptor"));
  }
  void a_refused_configuration_has_its_own_exit_code() {
    const Folder folder;
    write_text(folder.path() + "/evercert.json", "{ \"nonsense\": 1 }");
    const Outcome outcome = run({"status", "--config", folder.path() + "/evercert.json"});
    CPPUNIT_ASSERT_EQUAL_MESSAGE(outcome.err, int{exit_configuration}, outcome.exit);
    CPPUNIT_ASSERT_EQUAL(int{exit_configuration}, run({"list", "--config", folder.path() + "/missing.json"}).exit);
  }
  void the_configuration_tells_the_state_path() {
    const Folder folder;
    write_text(folder.path() + "/evercert.json", "{ \"state_path\": \"" + folder.path() + "/elsewhere\" }");
    const Outcome outcome = run({"status", "--config", folder.path() + "/evercert.json"});
    CPPUNIT_ASSERT_EQUAL(int{exit_failed}, outcome.exit);
    CPPUNIT_ASSERT_MESSAGE(outcome.err, holds(outcome.err, folder.path() + "/elsewhere"));
  }
  void run_hands_its_words_to_the_agent() {
    RunRequest seen;
    const auto agent = [&](const RunRequest& request) {
      seen = request;
      return 42;
    };
    CPPUNIT_ASSERT_EQUAL(42, run({"run", "--config", "a.json", "--state", "/b"}, "", agent).exit);
    CPPUNIT_ASSERT_EQUAL(std::string("a.json"), seen.config_file);
    CPPUNIT_ASSERT_EQUAL(std::string("/b"), seen.state_path);
    CPPUNIT_ASSERT_EQUAL(-1, seen.descriptor);
    CPPUNIT_ASSERT_EQUAL(42, run({"run", "--descriptor", "3"}, "", agent).exit);
    CPPUNIT_ASSERT_EQUAL(3, seen.descriptor);
  }
  void version_and_reference_are_printed() {
    const Outcome version = run({"version", "--json"});
    CPPUNIT_ASSERT_EQUAL(int{exit_done}, version.exit);
    Result<Json> json = parse_json(version.out, "version");
    CPPUNIT_ASSERT(json.has_value() && (*json)["format"] == 1 && (*json)["version"] == EVERCERT_VERSION);
    CPPUNIT_ASSERT(holds(run({"reference", "options"}).out, "state_path"));
  }
  void control_characters_never_reach_the_terminal() {
    CPPUNIT_ASSERT_EQUAL(std::string(R"({"b":"gr\u00fc\u009b","a":1})"),
                         printable_json("{\"b\": \"gr\xc3\xbc\xc2\x9b\",\r \"a\":1}"));
    CPPUNIT_ASSERT_EQUAL(std::string("{\n\"a\": 1}\n"), printable_json("{\n\"a\": 1}\n"));
    CPPUNIT_ASSERT_EQUAL(std::string("served"), coloured("served", Colour::good, false));
    CPPUNIT_ASSERT(holds(coloured("served", Colour::good, true), "\x1b["));
  }
};

class ReadingTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(ReadingTest);
  CPPUNIT_TEST(status_is_a_table_with_problems_and_remedies);
  CPPUNIT_TEST(status_as_json_is_the_page_itself);
  CPPUNIT_TEST(one_name_is_shown_alone_and_a_wrong_one_gets_the_nearest);
  CPPUNIT_TEST(a_silent_agent_is_said_to_be_silent);
  CPPUNIT_TEST(a_state_directory_without_status_says_so);
  CPPUNIT_TEST(list_prints_names_alone);
  CPPUNIT_TEST(show_adds_the_last_twenty_events);
  CPPUNIT_TEST(a_damaged_status_is_an_error_not_a_crash);
  CPPUNIT_TEST(a_status_of_wrong_types_is_no_crash);
  CPPUNIT_TEST_SUITE_END();

 public:
  void setUp() override {
    folder_.emplace();
    std::filesystem::create_directory(state());
    write_text(state() + "/status.json", render_json(report()));
  }
  void tearDown() override { folder_.reset(); }

  void status_is_a_table_with_problems_and_remedies() {
    const Outcome outcome = read({"status"});
    CPPUNIT_ASSERT_EQUAL_MESSAGE(outcome.err, int{exit_done}, outcome.exit);
    CPPUNIT_ASSERT(holds(outcome.out, "www.example.com"));
    CPPUNIT_ASSERT(holds(outcome.out, "served"));
    CPPUNIT_ASSERT(holds(outcome.out, "the CA is away"));
    CPPUNIT_ASSERT(holds(outcome.out, "what you can do: wait"));
    CPPUNIT_ASSERT(outcome.out.find('\x1b') == std::string::npos);
    CPPUNIT_ASSERT(holds(outcome.err, "process 4711"));
  }
  void status_as_json_is_the_page_itself() {
    std::ifstream file(state() + "/status.json");
    const std::string page{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    const Outcome outcome = read({"status", "--json"});
    CPPUNIT_ASSERT_EQUAL(page, outcome.out);
    CPPUNIT_ASSERT(outcome.err.empty());
  }
  void one_name_is_shown_alone_and_a_wrong_one_gets_the_nearest() {
    const Outcome one = read({"status", "www.example.com", "--json"});
    Result<Json> json = parse_json(one.out, "status");
    CPPUNIT_ASSERT(json.has_value() && (*json)["format"] == 1);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, (*json)["certificates"].size());
    const Outcome wrong = read({"status", "ww.example.com"});
    CPPUNIT_ASSERT_EQUAL(int{exit_failed}, wrong.exit);
    CPPUNIT_ASSERT(wrong.out.empty());
    CPPUNIT_ASSERT_MESSAGE(wrong.err, holds(wrong.err, "did you mean \"www.example.com\"?"));
  }
  void a_silent_agent_is_said_to_be_silent() {
    const auto old = std::filesystem::file_time_type::clock::now() - std::chrono::minutes(10);
    std::filesystem::last_write_time(state() + "/status.json", old);
    const Outcome outcome = read({"status"});
    CPPUNIT_ASSERT_EQUAL(int{exit_done}, outcome.exit);
    CPPUNIT_ASSERT_MESSAGE(outcome.err, holds(outcome.err, "not running"));
    CPPUNIT_ASSERT(holds(read({"status", "--json"}).out, "\"silent\""));
  }
  void a_state_directory_without_status_says_so() {
    std::filesystem::remove(state() + "/status.json");
    const Outcome outcome = read({"status"});
    CPPUNIT_ASSERT_EQUAL(int{exit_done}, outcome.exit);
    CPPUNIT_ASSERT(holds(outcome.err, "no server has been started with the state directory "));
  }
  void list_prints_names_alone() {
    CPPUNIT_ASSERT_EQUAL(std::string("bad\\x1b[2J.example.com\nwww.example.com\n"), read({"list"}).out);
    Result<Json> json = parse_json(read({"list", "--json"}).out, "list");
    CPPUNIT_ASSERT(json.has_value() && (*json)["format"] == 1 && (*json)["certificates"].size() == 2);
  }
  void show_adds_the_last_twenty_events() {
    Silence silence;
    Result<AuditTrail> trail = AuditTrail::open(folder_->path(), silence);
    CPPUNIT_ASSERT(trail.has_value());
    Event event;
    event.at = std::chrono::system_clock::now();
    event.name = "served";
    for (int number = 0; number < 25; ++number) {
      event.certificate = "www.example.com";
      event.sentence = "number " + std::to_string(number) + ".";
      trail->record(event);
      event.certificate = "other.example.com";
      trail->record(event);
    }
    write_text(state() + "/events/notes.txt", "not ours");
    const Outcome text = read({"show", "www.example.com"});
    CPPUNIT_ASSERT_EQUAL_MESSAGE(text.err, int{exit_done}, text.exit);
    CPPUNIT_ASSERT(!holds(text.out, "number 4.") && holds(text.out, "number 5.") && holds(text.out, "number 24."));
    Result<Json> json = parse_json(read({"show", "www.example.com", "--json"}).out, "show");
    CPPUNIT_ASSERT(json.has_value() && (*json)["format"] == 1);
    CPPUNIT_ASSERT_EQUAL(std::size_t{20}, (*json)["events"].size());
    CPPUNIT_ASSERT((*json)["events"][19]["sentence"] == "number 24.");
    CPPUNIT_ASSERT((*json)["certificate"]["name"] == "www.example.com");
    CPPUNIT_ASSERT((*json)["pairs"].is_array());
  }
  void a_damaged_status_is_an_error_not_a_crash() {
    write_text(state() + "/status.json", "{\"format\":1,");
    const Outcome outcome = read({"status"});
    CPPUNIT_ASSERT_EQUAL(int{exit_failed}, outcome.exit);
    CPPUNIT_ASSERT(!outcome.err.empty() && outcome.out.empty());
  }
  void a_status_of_wrong_types_is_no_crash() {
    write_text(state() + "/status.json",
               R"({"format":1,"agent":7,"certificates":[7,{"name":7,"served":"x","next":[],"problem":{"kind":1}}]})");
    CPPUNIT_ASSERT_EQUAL(int{exit_done}, read({"status"}).exit);
    CPPUNIT_ASSERT_EQUAL(int{exit_done}, read({"list"}).exit);
    CPPUNIT_ASSERT_EQUAL(int{exit_failed}, read({"show", "a"}).exit);
  }

 private:
  [[nodiscard]] std::string state() const { return folder_->path() + "/state"; }
  [[nodiscard]] Outcome read(std::vector<std::string> words) const {
    words.insert(words.end(), {"--state", folder_->path()});
    return run(words);
  }
  std::optional<Folder> folder_;
};

class ConversationTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(ConversationTest);
  CPPUNIT_TEST(nobody_there_is_exit_five_with_a_sentence);
  CPPUNIT_TEST(renew_tells_each_step_and_ends_with_the_agents_word);
  CPPUNIT_TEST(the_agents_exit_code_is_passed_on);
  CPPUNIT_TEST(an_agent_that_goes_away_is_exit_five);
  CPPUNIT_TEST(an_exit_code_that_is_none_is_a_failure);
  CPPUNIT_TEST(revoke_asks_and_takes_no_for_an_answer);
  CPPUNIT_TEST(revoke_goes_on_when_the_name_is_typed);
  CPPUNIT_TEST(rollback_goes_through_a_running_agent);
  CPPUNIT_TEST_SUITE_END();

 public:
  void setUp() override {
    folder_.emplace();
    std::filesystem::create_directory(folder_->path() + "/state");
  }
  void tearDown() override { folder_.reset(); }

  void nobody_there_is_exit_five_with_a_sentence() {
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"renew", "a"}, {"renew", "--all"}, {"revoke", "a", "--yes"}}) {
      const Outcome outcome = ask(words);
      CPPUNIT_ASSERT_EQUAL(int{exit_unreachable}, outcome.exit);
      CPPUNIT_ASSERT_MESSAGE(outcome.err, holds(outcome.err, folder_->path()) && outcome.out.empty());
    }
  }
  void renew_tells_each_step_and_ends_with_the_agents_word() {
    const std::string answer =
        "{\"event\":{\"name\":\"order_placed\",\"certificate\":\"www.example.com\",\"sentence\":\"order placed\"}}\n"
        "{\"event\":{\"name\":\"served\",\"certificate\":\"www.example.com\",\"sentence\":\"served\\u001b[2J\"}}\n"
        "{\"done\":true,\"exit\":0,\"message\":\"www.example.com serves generation 2\"}\n";
    {
      FakeAgent agent(folder_->path(), answer);
      const Outcome outcome = ask({"renew", "www.example.com", "--force"});
      CPPUNIT_ASSERT_EQUAL_MESSAGE(outcome.err, int{exit_done}, outcome.exit);
      CPPUNIT_ASSERT_EQUAL(std::string("www.example.com serves generation 2\n"), outcome.out);
      CPPUNIT_ASSERT(holds(outcome.err, "order_placed") && holds(outcome.err, "served"));
      CPPUNIT_ASSERT(outcome.err.find('\x1b') == std::string::npos);
      CPPUNIT_ASSERT(agent.request() == Json({{"verb", "renew"}, {"name", "www.example.com"}, {"force", true}}));
    }
    std::filesystem::remove(control_socket_path(folder_->path()));
    FakeAgent agent(folder_->path(), answer);
    Result<Json> json = parse_json(ask({"renew", "--all", "--json"}).out, "renew");
    CPPUNIT_ASSERT(json.has_value() && (*json)["format"] == 1 && (*json)["exit"] == 0 && (*json)["events"].size() == 2);
    CPPUNIT_ASSERT(agent.request() == Json({{"verb", "renew"}, {"all", true}, {"force", false}}));
  }
  void the_agents_exit_code_is_passed_on() {
    FakeAgent agent(folder_->path(), "{\"done\":true,\"exit\":4,\"message\":\"accept the terms\"}\n");
    const Outcome outcome = ask({"renew", "a"});
    CPPUNIT_ASSERT_EQUAL(int{exit_people}, outcome.exit);
    CPPUNIT_ASSERT(outcome.out.empty() && holds(outcome.err, "accept the terms"));
  }
  void an_agent_that_goes_away_is_exit_five() {
    FakeAgent agent(folder_->path(), "{\"event\":{\"name\":\"order_placed\"}}\n");
    const Outcome outcome = ask({"renew", "a"});
    CPPUNIT_ASSERT_EQUAL(int{exit_unreachable}, outcome.exit);
    CPPUNIT_ASSERT(holds(outcome.err, "went away"));
  }
  void an_exit_code_that_is_none_is_a_failure() {
    FakeAgent agent(folder_->path(), "7\n{\"done\":true,\"exit\":\"zero\"}\n");
    CPPUNIT_ASSERT_EQUAL(int{exit_failed}, ask({"renew", "a"}).exit);
  }
  void revoke_asks_and_takes_no_for_an_answer() {
    for (const char* typed : {"", "no\n", "other.example.com\n"}) {
      const Outcome outcome = ask({"revoke", "www.example.com"}, typed);
      CPPUNIT_ASSERT_EQUAL(int{exit_failed}, outcome.exit);
      CPPUNIT_ASSERT(holds(outcome.err, "nothing was revoked"));
    }
  }
  void revoke_goes_on_when_the_name_is_typed() {
    FakeAgent agent(folder_->path(), "{\"done\":true,\"exit\":0,\"message\":\"revoked\"}\n");
    CPPUNIT_ASSERT_EQUAL(int{exit_done}, ask({"revoke", "a", "--reason", "superseded"}, "a\n").exit);
    CPPUNIT_ASSERT(agent.request() == Json({{"verb", "revoke"}, {"name", "a"}, {"reason", "superseded"}}));
  }
  void rollback_goes_through_a_running_agent() {
    FakeAgent agent(folder_->path(), "{\"done\":true,\"exit\":0,\"message\":\"back\"}\n");
    CPPUNIT_ASSERT_EQUAL(int{exit_done}, ask({"rollback", "a", "--to", "3"}).exit);
    CPPUNIT_ASSERT(agent.request() == Json({{"verb", "rollback"}, {"name", "a"}, {"to", 3}}));
  }

 private:
  [[nodiscard]] Outcome ask(std::vector<std::string> words, const std::string& typed = "") const {
    words.insert(words.end(), {"--state", folder_->path()});
    return run(words, typed);
  }
  std::optional<Folder> folder_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(WordsTest);
CPPUNIT_TEST_SUITE_REGISTRATION(ReadingTest);
CPPUNIT_TEST_SUITE_REGISTRATION(ConversationTest);

}  // namespace
