// Reading commands: status, list and show, from what lies on the disk.
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

CPPUNIT_TEST_SUITE_REGISTRATION(ReadingTest);

}  // namespace
