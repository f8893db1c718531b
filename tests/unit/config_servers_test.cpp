// Each option has an effect on each server, or is refused (or, where a file may be shared, warned of) with the reason.
#include <set>

#include "serving/config/spelling.h"
#include "unit/config_fixture.h"

namespace evercert::test {

class ServersTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(ServersTest);
  CPPUNIT_TEST(every_option_has_an_effect_or_is_told_to_have_none);
  CPPUNIT_TEST(a_directive_that_can_never_have_an_effect_is_refused);
  CPPUNIT_TEST(the_agent_does_not_judge_again);
  CPPUNIT_TEST(commands_that_cannot_be_run_are_told);
  CPPUNIT_TEST_SUITE_END();

  struct Server {
    const char* name;
    unsigned bit;
  };
  static constexpr Server servers[] = {
      {"nginx/1.22.1", on_nginx}, {"Apache/2.4.57", on_apache}, {"HAProxy/2.6.12", on_haproxy}, {"", alone}};

  // Those that do nothing somewhere, and where they do something. All others do it everywhere.
  static const std::map<std::string, unsigned>& restricted() {
    static const std::map<std::string, unsigned> table{{"pem_path", on_haproxy},
                                                       {"http_listen", alone},
                                                       {"cache_size", on_nginx | on_apache},
                                                       {"placeholder", on_nginx | on_apache}};
    return table;
  }

  static std::string word_for(const Option& option) {
    if (option.name == "http_listen") return "127.0.0.1:8402";
    switch (option.kind) {
      case ValueKind::number:
        return "7";
      case ValueKind::flag:
      case ValueKind::switch_on_off:
        return "on";
      default:
        return "/a";
    }
  }

  // Only what the complaint is about counts: its other words may be wrong.
  static std::vector<Complaint> complaints_of(const Option& option, const std::string& server, const std::string& file) {
    Settings settings;
    const Place place{file, 3};
    const std::vector<std::string> name{server};
    if (!server.empty()) CPPUNIT_ASSERT(set(settings.global, Scope::global, "server", name, place));
    Section& section = option.scope == Scope::global ? settings.global : settings.certificates.emplace_back();
    std::vector<std::string> words(std::max(1U, option.min_words), word_for(option));
    const auto done = set(section, option.scope, option.name, words, place);
    CPPUNIT_ASSERT_MESSAGE(done ? "" : done.error().message, done.has_value());
    MadeUpFiles files;
    auto all = check(settings, files, true).complaints;
    std::erase_if(all,
                  [](const Complaint& complaint) { return complaint.message.find("has no effect here") == std::string::npos; });
    return all;
  }

 public:
  void every_option_has_an_effect_or_is_told_to_have_none() {
    std::set<std::string> seen;
    for (const Option& option : options()) {
      if (option.scope == Scope::issuer || option.from_server || option.name == "include") continue;
      const auto row = restricted().find(std::string(option.name));
      const unsigned expected = row == restricted().end() ? unsigned{everywhere} : row->second;
      CPPUNIT_ASSERT_EQUAL_MESSAGE(std::string(option.name), expected, option.servers);
      if (row != restricted().end()) seen.insert(row->first);
      for (const Server& server : servers) {
        const auto complaints = complaints_of(option, server.name, "/etc/evercert/evercert.json");
        const std::string what = std::string(option.name) + " on " + server.name;
        CPPUNIT_ASSERT_EQUAL_MESSAGE(what, (expected & server.bit) == 0 ? std::size_t{1} : std::size_t{0}, complaints.size());
        if (complaints.empty()) continue;
        CPPUNIT_ASSERT_EQUAL_MESSAGE(what, std::string(option.name), complaints.front().option);
        CPPUNIT_ASSERT_MESSAGE(what, complaints.front().severity == Complaint::Severity::warning);
        CPPUNIT_ASSERT_MESSAGE(what, !option.elsewhere.empty());
        assert_contains(complaints.front().message, std::string(option.elsewhere));
      }
    }
    CPPUNIT_ASSERT_EQUAL(restricted().size(), seen.size());
  }

  void a_directive_that_can_never_have_an_effect_is_refused() {
    for (const char* const name : {"pem_path", "http_listen"}) {
      const Option& option = *find_option(Scope::global, name);
      for (const auto& [server, file] :
           {std::pair("nginx/1.22.1", "/etc/nginx/nginx.conf"), {"Apache/2.4.57", "/etc/apache2/apache2.conf"}}) {
        const auto complaints = complaints_of(option, server, file);
        CPPUNIT_ASSERT_EQUAL(std::size_t{1}, complaints.size());
        CPPUNIT_ASSERT(complaints.front().severity == Complaint::Severity::error);
        CPPUNIT_ASSERT_EQUAL(3U, complaints.front().place.line);
        assert_contains(complaints.front().message, "remove it");
      }
    }
  }

  void the_agent_does_not_judge_again() {
    const std::string json =
        document("", R"({"identifiers": "a.example"})", R"(, "server": "nginx/1.22.1", "pem_path": "/run/x")");
    Settings settings;
    CPPUNIT_ASSERT(read_settings_text(settings, json, "the configuration of the server"));
    MadeUpFiles files;
    const Checked result = check(settings, files, false);
    CPPUNIT_ASSERT_MESSAGE(all_of(result), result.plan.has_value() && result.complaints.empty());
  }

  void commands_that_cannot_be_run_are_told() {
    const auto said = [](const std::string& members) {
      MadeUpFiles files;
      const Checked result = check_with(settings_of(document("", "", members + R"(, "state_path": "/tmp")")), files,
                                        [](const std::string&) { return std::optional<std::string>(); });
      CPPUNIT_ASSERT(result.plan.has_value());
      return all_of(result);
    };
    assert_contains(said(R"(, "hook": ["/not/there", "now"])"), "[hook] hook: there is no /not/there; nothing is told");
    assert_contains(said(R"(, "hook": "/etc/passwd")"), "/etc/passwd cannot be executed");
    assert_contains(said(R"(, "hook": "/usr")"), "/usr cannot be executed");
    assert_contains(said(R"(, "dns_program": "/not/there")"), "[dns_program] dns_program: there is no /not/there; no record");
    CPPUNIT_ASSERT_EQUAL(std::string(), said(R"(, "hook": ["/bin/true"], "dns_program": "/bin/true")"));
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(ServersTest);

}  // namespace evercert::test
