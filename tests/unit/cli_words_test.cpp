// The words of the command line: verbs, help, exit codes and the conversation with the agent.
#include <cppunit/TestFixture.h>
#include <cppunit/extensions/HelperMacros.h>

#include <map>

#include "agent/observe/audit_trail.h"
#include "agent/observe/status_report.h"
#include "cli/pages.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "evercert/settings.h"
#include "serving/base/rfc3339.h"
#include "serving/config/words.h"
#include "unit/cli_ground.h"

namespace {

using namespace evercert;
using namespace evercert::cli_tests;

class WordsTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(WordsTest);
  CPPUNIT_TEST(a_mistyped_verb_gets_the_nearest_one);
  CPPUNIT_TEST(no_verb_and_wrong_words_are_usage_errors);
  CPPUNIT_TEST(every_command_explains_itself_with_examples);
  CPPUNIT_TEST(a_refused_configuration_has_its_own_exit_code);
  CPPUNIT_TEST(the_configuration_tells_the_state_path);
  CPPUNIT_TEST(run_hands_its_words_to_the_agent);
  CPPUNIT_TEST(version_and_reference_are_printed);
  CPPUNIT_TEST(options_may_stand_before_the_command);
  CPPUNIT_TEST(an_unknown_option_gets_the_nearest_or_who_has_it);
  CPPUNIT_TEST(a_name_may_be_a_word_of_the_command_line);
  CPPUNIT_TEST(errors_are_json_where_results_are);
  CPPUNIT_TEST(the_environment_names_the_state_directory_last);
  CPPUNIT_TEST(an_option_of_another_kind_of_import_is_refused);
  CPPUNIT_TEST(what_is_named_and_not_there_is_a_wrong_command_line);
  CPPUNIT_TEST(help_is_as_wide_as_the_terminal);
  CPPUNIT_TEST(pages_know_every_command_and_option);
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
  void every_command_explains_itself_with_examples() {
    for (const Verb& one : verbs()) {
      if (one.hidden) continue;
      const std::string verb(one.name);
      const Outcome outcome = run({verb, "--help"});
      CPPUNIT_ASSERT_EQUAL(outcome.out, run({"help", verb}).out);
      CPPUNIT_ASSERT_EQUAL(outcome.out, run({"--help", verb}).out);
      CPPUNIT_ASSERT_EQUAL_MESSAGE(verb, int{exit_done}, outcome.exit);
      const std::size_t examples = outcome.out.find("Examples:");
      CPPUNIT_ASSERT_MESSAGE(verb, examples != std::string::npos && outcome.err.empty());
      CPPUNIT_ASSERT_MESSAGE(outcome.out, outcome.out.find("  evercert " + verb, examples) != std::string::npos);
    }
    CPPUNIT_ASSERT_EQUAL(run({"--help"}).out, run({"help"}).out);
    CPPUNIT_ASSERT_EQUAL(int{exit_done}, run({"help"}).exit);
    CPPUNIT_ASSERT_EQUAL(int{exit_usage}, run({"help", "renwe"}).exit);
    CPPUNIT_ASSERT(holds(run({"help", "renwe"}).err, "did you mean \"renew\"?"));
    CPPUNIT_ASSERT(holds(run({"--help"}).out, "renew"));
    CPPUNIT_ASSERT(!holds(run({"--help"}).out, "reference"));
    CPPUNIT_ASSERT(!holds(run({"run", "--help"}).out, "--descriptor"));
  }
  void a_refused_configuration_has_its_own_exit_code() {
    const Folder folder;
    write_text(folder.path() + "/evercert.json", "{ \"nonsense\": 1 }");
    const Outcome outcome = run({"status", "--config", folder.path() + "/evercert.json"});
    CPPUNIT_ASSERT_EQUAL_MESSAGE(outcome.err, int{exit_configuration}, outcome.exit);
    CPPUNIT_ASSERT_EQUAL(int{exit_usage}, run({"list", "--config", folder.path() + "/missing.json"}).exit);
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
    const Folder folder;
    const std::string file = folder.path() + "/a.json";
    write_text(file, "{}");
    CPPUNIT_ASSERT_EQUAL(42, run({"--config", file, "run", "--state", "/b"}, "", agent).exit);
    CPPUNIT_ASSERT_EQUAL(file, seen.config_file);
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
    CPPUNIT_ASSERT_EQUAL(run({"version"}).out, run({"--version"}).out);
    CPPUNIT_ASSERT_EQUAL(run({"version", "--json"}).out, run({"--json", "-V"}).out);
    CPPUNIT_ASSERT_EQUAL(int{exit_done}, run({"--version"}).exit);
  }
  void options_may_stand_before_the_command() {
    const Folder folder;
    std::filesystem::create_directory(folder.path() + "/state");
    const std::string expected = run({"status", "--state", folder.path(), "--json"}).out;
    CPPUNIT_ASSERT_EQUAL(expected, run({"--json", "--state", folder.path(), "status"}).out);
    CPPUNIT_ASSERT_EQUAL(expected, run({"--state=" + folder.path(), "status", "--json"}).out);
    CPPUNIT_ASSERT(holds(run({"--nonsense", "--json"}).out, "has no option"));
    CPPUNIT_ASSERT(holds(run({"--timeout", "soon", "renew", "a"}).err, "soon is no duration"));
  }
  void an_unknown_option_gets_the_nearest_or_who_has_it() {
    CPPUNIT_ASSERT(holds(run({"status", "--jsn"}).err, "did you mean \"--json\"?"));
    for (const auto& before : std::vector<std::vector<std::string>>{{"--stat", "x", "status"}, {"--stat=x"}, {"--stat"}})
      CPPUNIT_ASSERT(holds(run(before).err, "evercert has no option \"--stat\", did you mean \"--state\"?"));
    CPPUNIT_ASSERT(holds(run({"--versoin"}).err, "did you mean \"--version\"?"));
    CPPUNIT_ASSERT(holds(run({"statsu", "--stat"}).err, "did you mean \"status\"?"));
    CPPUNIT_ASSERT(holds(run({"status", "--stat=x"}).err, "did you mean \"--state\"?"));
    CPPUNIT_ASSERT(holds(run({"list", "--force"}).err, "evercert list has no option \"--force\"; renew has it"));
    CPPUNIT_ASSERT(holds(run({"show", "--frobnicate"}).err, "--help"));
    CPPUNIT_ASSERT(holds(run({"list", "a"}).err, "does not take the word \"a\""));
    for (const char* verb : {"status", "list", "show"})
      CPPUNIT_ASSERT_EQUAL(int{exit_usage}, run({verb, "--descriptor", "3"}).exit);
  }
  void a_name_may_be_a_word_of_the_command_line() {
    const Folder folder;
    std::filesystem::create_directory(folder.path() + "/state");
    for (const Verb& verb : verbs()) {
      const Outcome outcome = run({"renew", std::string(verb.name), "--state", folder.path()});
      CPPUNIT_ASSERT_EQUAL_MESSAGE(std::string(verb.name) + outcome.err, int{exit_unreachable}, outcome.exit);
    }
  }
  void errors_are_json_where_results_are() {
    const Folder folder;
    write_text(folder.path() + "/evercert.json", "{ \"nonsense\": 1 }");
    std::filesystem::create_directory(folder.path() + "/state");
    for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
             {"--json"},
             {"stauts", "--json"},
             {"--json", "status", "--nonsense"},
             {"show", "--json"},
             {"status", "--json", "--config", folder.path() + "/evercert.json"},
             {"status", "--json", "--state", folder.path() + "/missing"},
             {"show", "a", "--json", "--state", folder.path()},
             {"renew", "a", "--json", "--state", folder.path()},
             {"rollback", "a", "--json", "--state", folder.path()},
             {"import", "certbot", folder.path(), "--json", "--state", folder.path()},
             {"import", "issuer", "a", "--key", "/missing", "--json", "--state", folder.path()}}) {
      const Outcome outcome = run(words);
      const Result<Json> json = parse_json(outcome.out, "the error");
      CPPUNIT_ASSERT_MESSAGE(words.back() + ": " + outcome.out, json.has_value());
      CPPUNIT_ASSERT_MESSAGE(outcome.out,
                             (*json)["format"] == 1 && (*json)["exit"] == outcome.exit && outcome.exit != exit_done);
      CPPUNIT_ASSERT_MESSAGE(outcome.out, !(*json)["message"].get<std::string>().empty());
      CPPUNIT_ASSERT_EQUAL(std::string(), outcome.err);
    }
  }
  void the_environment_names_the_state_directory_last() {
    const Folder folder;
    std::filesystem::create_directories(folder.path() + "/other/state");
    write_text(folder.path() + "/evercert.json", "{ \"state_path\": \"" + folder.path() + "/other\" }");
    CPPUNIT_ASSERT_EQUAL(0, ::setenv("EVERCERT_STATE", (folder.path() + "/named").c_str(), 1));
    const std::string named = run({"status"}).err;
    const std::string by_option = run({"status", "--state", folder.path() + "/other"}).err;
    const std::string by_file = run({"status", "--config", folder.path() + "/evercert.json"}).err;
    ::unsetenv("EVERCERT_STATE");
    CPPUNIT_ASSERT_MESSAGE(named, holds(named, folder.path() + "/named/state"));
    CPPUNIT_ASSERT_MESSAGE(by_option, holds(by_option, "the state directory " + folder.path() + "/other yet"));
    CPPUNIT_ASSERT_MESSAGE(by_file, holds(by_file, "the state directory " + folder.path() + "/other yet"));
  }
  void an_option_of_another_kind_of_import_is_refused() {
    const Folder folder;
    for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{"--since", "2026-01-01"},
                                                                                       {"--until", "2026-01-01"},
                                                                                       {"--group", "7"},
                                                                                       {"--open"},
                                                                                       {"--with", "expired"},
                                                                                       {"--key", "/"}})
      for (const char* kind : {"certbot", "mod-md", "nginx-acme"}) {
        std::vector<std::string> line{"import", kind, folder.path()};
        line.insert(line.end(), words.begin(), words.end());
        const Outcome outcome = run(line);
        CPPUNIT_ASSERT_EQUAL(int{exit_usage}, outcome.exit);
        CPPUNIT_ASSERT_MESSAGE(outcome.err,
                               holds(outcome.err, words.front() + " is an option of import issuer; import " + kind));
      }
    for (const char* option : {"--name", "--user"}) {
      const Outcome outcome = run({"import", "issuer", "bought", option, "a"});
      CPPUNIT_ASSERT_EQUAL(int{exit_usage}, outcome.exit);
      CPPUNIT_ASSERT_MESSAGE(outcome.err, holds(outcome.err, std::string(option) + " is an option of import certbot"));
    }
  }
  void what_is_named_and_not_there_is_a_wrong_command_line() {
    const Folder folder;
    const std::string missing = folder.path() + "/missing";
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"status", "--config", missing},
                                               {"renew", "a", "--config", missing},
                                               {"run", "--config", missing},
                                               {"import", "issuer", "a", "--key", missing},
                                               {"import", "issuer", "a", "--key", missing + "/below"},
                                               {"import", "certbot", missing},
                                               {"import", "mod-md", missing},
                                               {"import", "nginx-acme", missing, "--user", "root"}}) {
      const Outcome outcome = run(words);
      CPPUNIT_ASSERT_EQUAL_MESSAGE(words.front() + outcome.err, int{exit_usage}, outcome.exit);
      CPPUNIT_ASSERT_MESSAGE(outcome.err, holds(outcome.err, "cannot read " + missing));
    }
  }
  void help_is_as_wide_as_the_terminal() {
    for (const std::size_t columns : {60, 80, 200})
      for (const Verb& verb : verbs()) {
        if (verb.hidden) continue;
        const std::string text = run({"help", std::string(verb.name)}, "", nullptr, columns).out;
        std::istringstream lines(text.substr(0, text.find("Examples:")));
        for (std::string line; std::getline(lines, line);) CPPUNIT_ASSERT_MESSAGE(line, width_of(line) <= columns);
      }
  }
  void pages_know_every_command_and_option() {
    const std::string reference = run({"reference", "commands"}).out;
    const std::string manual = run({"reference", "manual"}).out;
    const std::string bash = run({"completion", "bash"}).out;
    const std::string zsh = run({"completion", "zsh"}).out;
    const std::string fish = run({"completion", "fish"}).out;
    for (const VerbPage& page : verb_pages()) {
      const std::string verb(page.verb->name);
      CPPUNIT_ASSERT_MESSAGE(verb, holds(reference, "## " + verb + "\n") && holds(manual, "evercert " + verb));
      CPPUNIT_ASSERT_MESSAGE(verb,
                             holds(bash, verb + ") ") && holds(zsh, "'" + verb + ":") && holds(fish, "-a " + verb + " -d"));
      for (const VerbPage::Word& option : page.options) {
        const std::string what = verb + " " + option.name;
        CPPUNIT_ASSERT_MESSAGE(what, holds(zsh, option.name + "[") && holds(bash, option.name));
        CPPUNIT_ASSERT_MESSAGE(what, holds(fish, "from " + verb + "' -l " + option.name.substr(2) + " "));
        if (option.name != "--help")
          CPPUNIT_ASSERT_MESSAGE(what, holds(usage_of(page), "[" + option.name) && holds(reference, usage_of(page)));
      }
    }
    const std::string configuration = run({"reference", "manual-configuration"}).out;
    for (const Option& option : options())
      if (!option.from_server)
        CPPUNIT_ASSERT_MESSAGE(std::string(option.name), holds(configuration, "\\fB" + std::string(option.name) + "\\fR"));
    CPPUNIT_ASSERT(!holds(configuration, "`") && !holds(manual, "`"));
  }
  void control_characters_never_reach_the_terminal() {
    CPPUNIT_ASSERT_EQUAL(std::string(R"({"b":"gr\u00fc\u009b","a":1})"),
                         printable_json("{\"b\": \"gr\xc3\xbc\xc2\x9b\",\r \"a\":1}"));
    CPPUNIT_ASSERT_EQUAL(std::string("{\n\"a\": 1}\n"), printable_json("{\n\"a\": 1}\n"));
    CPPUNIT_ASSERT_EQUAL(std::string("served"), coloured("served", Colour::good, false));
    CPPUNIT_ASSERT(holds(coloured("served", Colour::good, true), "\x1b["));
  }
};

class ConversationTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(ConversationTest);
  CPPUNIT_TEST(nobody_there_is_exit_five_with_a_sentence);
  CPPUNIT_TEST(renew_tells_each_step_and_ends_with_the_agents_word);
  CPPUNIT_TEST(the_agents_exit_code_is_passed_on);
  CPPUNIT_TEST(an_agent_that_goes_away_is_exit_five);
  CPPUNIT_TEST(an_exit_code_that_is_none_is_a_failure);
  CPPUNIT_TEST(revoke_asks_and_takes_no_for_an_answer);
  CPPUNIT_TEST(revoke_does_not_ask_about_what_is_not_there);
  CPPUNIT_TEST(revoke_asks_where_the_agent_is_of_an_earlier_release);
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
    FakeAgent agent(folder_->path(), "{\"done\":true,\"exit\":0,\"message\":\"can be\"}\n");
    for (const char* typed : {"", "no\n", "other.example.com\n"}) {
      const Outcome outcome = ask({"revoke", "www.example.com"}, typed);
      CPPUNIT_ASSERT_EQUAL(int{exit_failed}, outcome.exit);
      CPPUNIT_ASSERT(holds(outcome.err, "nothing was revoked"));
    }
    CPPUNIT_ASSERT(agent.request() == Json({{"verb", "revocable"}, {"name", "www.example.com"}}));
  }
  void revoke_does_not_ask_about_what_is_not_there() {
    FakeAgent agent(folder_->path(), "{\"done\":true,\"exit\":1,\"message\":\"no such certificate\"}\n");
    const Outcome outcome = ask({"revoke", "a"}, "a\n");
    CPPUNIT_ASSERT_EQUAL(int{exit_failed}, outcome.exit);
    CPPUNIT_ASSERT_MESSAGE(outcome.err, holds(outcome.err, "no such certificate") && !holds(outcome.err, "Type its name"));
    CPPUNIT_ASSERT(agent.request() == Json({{"verb", "revocable"}, {"name", "a"}}));
  }
  void revoke_asks_where_the_agent_is_of_an_earlier_release() {
    FakeAgent agent(folder_->path(), "{\"done\":true,\"exit\":2,\"message\":\"the agent does not know the verb\"}\n");
    CPPUNIT_ASSERT(holds(ask({"revoke", "a"}, "b\n").err, "Type its name"));
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
CPPUNIT_TEST_SUITE_REGISTRATION(ConversationTest);

}  // namespace
