// The words of the command line: verbs, help, exit codes, reading commands and the conversation with the agent.
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

class ReadingTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(ReadingTest);
  CPPUNIT_TEST(status_is_a_table_with_problems_and_remedies);
  CPPUNIT_TEST(status_as_json_is_the_page_itself);
  CPPUNIT_TEST(one_name_is_shown_alone_and_a_wrong_one_gets_the_nearest);
  CPPUNIT_TEST(a_silent_agent_is_said_to_be_silent);
  CPPUNIT_TEST(without_an_agent_nothing_is_claimed_of_the_present);
  CPPUNIT_TEST(what_is_to_come_never_lies_in_the_past);
  CPPUNIT_TEST(a_state_directory_without_status_says_so);
  CPPUNIT_TEST(a_missing_state_directory_gets_a_remedy);
  CPPUNIT_TEST(stored_lines_that_nobody_names_are_listed_and_shown);
  CPPUNIT_TEST(tables_fit_the_terminal);
  CPPUNIT_TEST(times_count_from_now);
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
    agent_.emplace(folder_->path(), "");
  }
  void tearDown() override {
    agent_.reset();
    folder_.reset();
  }

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
    const Outcome stuck = read({"status"});
    CPPUNIT_ASSERT_EQUAL(int{exit_unreachable}, stuck.exit);
    CPPUNIT_ASSERT_MESSAGE(stuck.err, holds(stuck.err, "process 4711 holds the lead and does not answer"));
    agent_.reset();
    const Outcome outcome = read({"status"});
    CPPUNIT_ASSERT_EQUAL(int{exit_unreachable}, outcome.exit);
    CPPUNIT_ASSERT_MESSAGE(outcome.err, holds(outcome.err, "not running"));
    CPPUNIT_ASSERT(holds(read({"status", "--json"}).out, "\"silent\""));
  }
  void without_an_agent_nothing_is_claimed_of_the_present() {
    StatusReport status = report();
    CertificateStatus& ordering = status.certificates.emplace_back();
    ordering.name = "ordering.example.com";
    ordering.state = CertificateState::ordering;
    ordering.now = "waiting for the CA";
    ordering.next = CertificateStatus::Next{status.generated_at - std::chrono::hours(1), "asking the CA again"};
    const CertificateStatus served = status.certificates.front();
    CertificateStatus& ended = status.certificates.emplace_back(served);
    ended.name = "ended.example.com";
    ended.not_after = status.generated_at - std::chrono::hours(1);
    write_text(state() + "/status.json", render_json(status));
    agent_.reset();
    const Outcome text = read({"status"});
    CPPUNIT_ASSERT_EQUAL(int{exit_unreachable}, text.exit);
    CPPUNIT_ASSERT_MESSAGE(text.err, holds(text.err, "the agent is not running: nothing is renewed until it is"));
    CPPUNIT_ASSERT_MESSAGE(text.out, holds(text.out, "  was served ") && !holds(text.out, "  served") &&
                                         holds(text.out, "  was ordering ") && holds(text.out, "  expired ") &&
                                         holds(text.out, "once it runs") && !holds(text.out, "now: "));
    const Outcome page = read({"status", "--json"});
    CPPUNIT_ASSERT_EQUAL(int{exit_unreachable}, page.exit);
    Result<Json> json = parse_json(page.out, "status");
    CPPUNIT_ASSERT(json && (*json)["agent"]["state"] == "silent" && holds((*json)["agent"]["message"], "is not running"));
    for (const auto& [name, states] :
         std::map<std::string, std::pair<std::string, std::string>>{{"www.example.com", {"issued", "served"}},
                                                                    {"ordering.example.com", {"waiting", "ordering"}},
                                                                    {"ended.example.com", {"expired", "served"}}}) {
      json = parse_json(read({"status", name, "--json"}).out, "status");
      const Json& one = (*json)["certificates"][0];
      CPPUNIT_ASSERT_MESSAGE(one.dump(), one["state"] == states.first && one["last_known"]["state"] == states.second);
      CPPUNIT_ASSERT_MESSAGE(one.dump(), one["served"].is_null() && one["now"].is_null());
    }
    CPPUNIT_ASSERT(parse_json(page.out, "status")->at("certificates")[0]["last_known"]["served"]["generation"] == 3);
    const Outcome shown = read({"show", "www.example.com"});
    CPPUNIT_ASSERT_EQUAL(int{exit_unreachable}, shown.exit);
    CPPUNIT_ASSERT_MESSAGE(shown.out, holds(shown.out, "www.example.com  was served\n") && holds(shown.out, "was served  gen"));
    const Outcome one = read({"show", "www.example.com", "--json"});
    json = parse_json(one.out, "show");
    CPPUNIT_ASSERT_EQUAL(int{exit_unreachable}, one.exit);
    CPPUNIT_ASSERT(json && (*json)["agent"]["state"] == "silent" && (*json)["certificate"]["state"] == "issued");
    CPPUNIT_ASSERT_EQUAL(int{exit_done}, read({"list"}).exit);
  }
  void what_is_to_come_never_lies_in_the_past() {
    StatusReport status = report();
    status.certificates.front().next =
        CertificateStatus::Next{status.generated_at - std::chrono::seconds(17), "asking the CA again"};
    write_text(state() + "/status.json", render_json(status));
    for (const char* verb : {"status", "show"}) {
      const std::string shown =
          read(verb == std::string("show") ? std::vector<std::string>{verb, "www.example.com"} : std::vector<std::string>{verb})
              .out;
      CPPUNIT_ASSERT_MESSAGE(shown, holds(shown, "now") && holds(shown, "asking the CA again"));
      for (const char* seconds : {"17 s ago", "18 s ago", "19 s ago", "20 s ago"}) CPPUNIT_ASSERT(!holds(shown, seconds));
    }
    const std::string page = render_html(status);
    CPPUNIT_ASSERT_MESSAGE(page, holds(page, "<small>now: asking the CA again"));
  }
  void a_state_directory_without_status_says_so() {
    agent_.reset();
    std::filesystem::remove(state() + "/status.json");
    const Outcome outcome = read({"status"});
    CPPUNIT_ASSERT_EQUAL(int{exit_failed}, outcome.exit);
    CPPUNIT_ASSERT(holds(outcome.err, "no server has been started with the state directory "));
  }
  void a_missing_state_directory_gets_a_remedy() {
    for (const char* verb : {"status", "list"}) {
      const Outcome outcome = run({verb, "--state", folder_->path() + "/missing"});
      CPPUNIT_ASSERT_EQUAL(int{exit_failed}, outcome.exit);
      CPPUNIT_ASSERT_MESSAGE(outcome.err, holds(outcome.err, "missing/state") && holds(outcome.err, "EVERCERT_STATE"));
    }
  }
  void stored_lines_that_nobody_names_are_listed_and_shown() {
    StatusReport status = report();
    status.unnamed.push_back(
        {"waits.example.com", {"waits.example.com", "www.waits.example.com"}, "import", 1, status.generated_at, {}});
    write_text(state() + "/status.json", render_json(status));
    const Outcome list = read({"list"});
    CPPUNIT_ASSERT_MESSAGE(list.out, holds(list.out, "waits.example.com\n"));
    CPPUNIT_ASSERT_MESSAGE(list.err, holds(list.err, "named by no configuration: waits.example.com"));
    Result<Json> json = parse_json(read({"list", "--json"}).out, "list");
    CPPUNIT_ASSERT((*json)["unnamed"] == Json::array({"waits.example.com"}) && (*json)["certificates"].size() == 2);
    const Outcome show = read({"show", "www.waits.example.com"});
    CPPUNIT_ASSERT_EQUAL_MESSAGE(show.err, int{exit_done}, show.exit);
    CPPUNIT_ASSERT_MESSAGE(show.out, holds(show.out, "waits.example.com  named by no configuration"));
    json = parse_json(read({"show", "waits.example.com", "--json"}).out, "show");
    CPPUNIT_ASSERT(json && (*json)["unnamed"] == true && (*json)["certificate"]["generation"] == 1);
    CPPUNIT_ASSERT(holds(read({"status", "waits.example.com"}).out, "waits.example.com  ends"));
    CPPUNIT_ASSERT(holds(read({"show", "wait.example.com"}).err, "did you mean \"waits.example.com\"?"));
  }
  void tables_fit_the_terminal() {
    StatusReport status = report();
    CertificateStatus& wide = status.certificates.emplace_back();
    wide.name = "a-name-that-is-rather-long-for-a-terminal-of-sixty-columns.example.com";
    wide.state = CertificateState::issued_not_served;
    wide.generation = 281474976710656;
    wide.not_after = status.generated_at + std::chrono::hours(24 * 398);
    wide.next = CertificateStatus::Next{status.generated_at + std::chrono::hours(72),
                                        "another try after: what the CA said was rather long, too, and went on for a while"};
    wide.problem =
        StatusProblem{"not_served", "the listener at 192.0.2.1:443 sent another certificate than the one that was issued",
                      status.generated_at, "Look at the listener, then look again."};
    write_text(state() + "/status.json", render_json(status));
    for (const std::size_t columns : {60, 80, 200}) {
      std::istringstream lines(read({"status"}, columns).out);
      for (std::string line; std::getline(lines, line);) CPPUNIT_ASSERT_MESSAGE(line, width_of(line) <= columns);
      std::string shown = read({"show", wide.name}, columns).out;
      for (std::size_t at = 0; (at = shown.find("\n", at)) != std::string::npos;)
        shown.replace(at, shown.find_first_not_of(" \n", at) == std::string::npos ? 1 : shown.find_first_not_of(" \n", at) - at,
                      " ");
      for (const std::string& whole : {wide.name, wide.next->why, wide.problem->message, wide.problem->remedy})
        CPPUNIT_ASSERT_MESSAGE(shown, holds(shown, whole));
    }
    const std::string narrow = read({"status"}, 60).out;
    CPPUNIT_ASSERT_MESSAGE(narrow, holds(narrow, "a-name-that-i..  issued_not_served"));
    CPPUNIT_ASSERT(holds(read({"status"}).out, wide.name) && holds(read({"status"}).out, wide.next->why));
    CPPUNIT_ASSERT(holds(read({"status"}).out, "in 397 d") || holds(read({"status"}).out, "in 398 d"));
  }
  void times_count_from_now() {
    const auto now = *time_in("2026-11-30T12:00:00Z");
    const std::pair<const char*, const char*> rows[] = {
        {"2026-11-30T12:00:00Z", "now"},       {"2026-11-30T12:01:30Z", "in 90 s"}, {"2026-11-30T12:02:00Z", "in 2 min"},
        {"2026-11-30T14:00:00Z", "in 2 h"},    {"2026-12-02T12:00:00Z", "in 2 d"},  {"2026-11-30T11:00:00Z", "60 min ago"},
        {"2025-11-30T12:00:00Z", "365 d ago"}, {"2027-02-18T12:00:00Z", "in 80 d"}};
    for (const auto& [text, said] : rows) CPPUNIT_ASSERT_EQUAL(std::string(said), relative_time(*time_in(text), now));
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
    agent_.reset();
    write_text(state() + "/status.json",
               R"({"format":1,"agent":7,"certificates":[7,{"name":7,"served":"x","next":[],"problem":{"kind":1}}]})");
    CPPUNIT_ASSERT_EQUAL(int{exit_failed}, read({"status"}).exit);
    CPPUNIT_ASSERT_EQUAL(int{exit_failed}, read({"list"}).exit);
    CPPUNIT_ASSERT_EQUAL(int{exit_failed}, read({"show", "a"}).exit);
  }

 private:
  [[nodiscard]] std::string state() const { return folder_->path() + "/state"; }
  [[nodiscard]] Outcome read(std::vector<std::string> words, std::size_t columns = 0) const {
    words.insert(words.end(), {"--state", folder_->path()});
    return run(words, "", nullptr, columns);
  }
  std::optional<Folder> folder_;
  std::optional<FakeAgent> agent_;
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
CPPUNIT_TEST_SUITE_REGISTRATION(ReadingTest);
CPPUNIT_TEST_SUITE_REGISTRATION(ConversationTest);

}  // namespace
