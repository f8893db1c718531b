#include <cppunit/extensions/HelperMacros.h>

#include <filesystem>
#include <fstream>

#include "agent/observe/status_report.h"
#include "evercert/status.h"
#include "fake/state_directory.h"
#include "serving/base/json.h"
#include "serving/base/limits.h"

namespace evercert {
namespace {

// The pages as any process sends them, also when nobody renders them any more.
class StatusPageTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(StatusPageTest);
  CPPUNIT_TEST(sub_paths_choose_the_form);
  CPPUNIT_TEST(before_the_first_rendering_each_form_says_so);
  CPPUNIT_TEST(a_fresh_page_is_sent_as_it_is);
  CPPUNIT_TEST(an_old_page_says_that_the_agent_is_silent);
  CPPUNIT_TEST(an_old_page_that_is_damaged_is_an_error_in_json_only);
  CPPUNIT_TEST(what_stands_in_a_name_does_not_move_the_agent);
  CPPUNIT_TEST(of_a_page_only_its_head_is_read);
  CPPUNIT_TEST(a_page_that_is_cut_off_ends_with_an_error);
  CPPUNIT_TEST(a_section_says_what_the_status_says);
  CPPUNIT_TEST(whatever_stands_in_the_file_of_a_section_is_text_in_the_page);
  CPPUNIT_TEST(a_page_that_cannot_be_read_is_an_error);
  CPPUNIT_TEST_SUITE_END();

  static constexpr const char* files[] = {"status.html", "status.json", "status.prom", "status.txt"};
  const StateDirectory directory_;
  const StateReader state_ = *StateReader::open(directory_.path());

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(directory_.path() + "/state/" + name) << text;
  }
  [[nodiscard]] std::string page(StatusForm form, std::chrono::minutes later = {}) const {
    auto text = status_page(state_, form, std::chrono::system_clock::now() + later);
    CPPUNIT_ASSERT_MESSAGE(text ? "" : text.error().message, text.has_value());
    return whole(*text);
  }
  static std::string whole(const StatusPage& page) {
    std::string text;
    while (text.size() < page.size()) text += read_page(page, text.size(), 7).value();
    CPPUNIT_ASSERT(read_page(page, text.size(), 7).value().empty());
    return text;
  }
  static bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

  void sub_paths_choose_the_form() {
    CPPUNIT_ASSERT(status_form("") == StatusForm::html && status_form("/") == StatusForm::html);
    CPPUNIT_ASSERT(status_form("/json") == StatusForm::json && status_form("/metrics") == StatusForm::metrics);
    for (const char* other : {"json", "/json/", "/JSON", "/../json", "/metrics2"}) CPPUNIT_ASSERT(!status_form(other));
  }

  void before_the_first_rendering_each_form_says_so() {
    CPPUNIT_ASSERT(has(page(StatusForm::html), "not rendered a status yet"));
    const auto json = parse_json(page(StatusForm::json), "page");
    CPPUNIT_ASSERT(json && (*json)["format"] == 1 && (*json)["agent"]["state"] == "silent");
    CPPUNIT_ASSERT(has(page(StatusForm::metrics), "evercert_agent_up 0\n"));
  }

  void a_fresh_page_is_sent_as_it_is() {
    for (const char* file : files) write(file, std::string("just ") + file);
    CPPUNIT_ASSERT_EQUAL(std::string("just status.html"), page(StatusForm::html));
    CPPUNIT_ASSERT_EQUAL(std::string("just status.json"), page(StatusForm::json, std::chrono::minutes(1)));
    CPPUNIT_ASSERT_EQUAL(std::string("just status.prom"), page(StatusForm::metrics));
  }

  void an_old_page_says_that_the_agent_is_silent() {
    write("status.html", "<html><body class=\"a\"><h1>evercert</h1></body></html>");
    write("status.json", R"({"format":1,"agent":{"state":"leader","pid":7},"certificates":[{"name":"a"}]})");
    write("status.prom", "# TYPE evercert_agent_up gauge\nevercert_agent_up 1\nevercert_agent_up_since 5\n");
    const std::chrono::minutes later(5);
    const std::string html = page(StatusForm::html, later);
    CPPUNIT_ASSERT(has(html, "<body class=\"a\"><p class=\"silent\" role=\"alert\">") && has(html, "<h1>evercert</h1>"));
    const auto json = parse_json(page(StatusForm::json, later), "page");
    CPPUNIT_ASSERT(json && (*json)["agent"]["state"] == "silent" && (*json)["agent"]["pid"] == 7);
    CPPUNIT_ASSERT((*json)["certificates"][0]["name"] == "a");
    const std::string metrics = page(StatusForm::metrics, later);
    CPPUNIT_ASSERT(has(metrics, "\nevercert_agent_up 0\n") && has(metrics, "evercert_agent_up_since 5\n"));
    CPPUNIT_ASSERT(!has(metrics, "evercert_agent_up 1"));
  }

  void an_old_page_that_is_damaged_is_an_error_in_json_only() {
    for (const char* file : files) write(file, "{\"cut");
    const auto now = std::chrono::system_clock::now() + std::chrono::minutes(5);
    const auto json = status_page(state_, StatusForm::json, now);
    CPPUNIT_ASSERT(!json && json.error().kind == ErrorKind::storage && has(json.error().message, "damaged"));
    CPPUNIT_ASSERT(has(whole(*status_page(state_, StatusForm::html, now)), "not running"));
    CPPUNIT_ASSERT(has(whole(*status_page(state_, StatusForm::metrics, now)), "evercert_agent_up 0\n"));
  }

  void what_stands_in_a_name_does_not_move_the_agent() {
    write("status.json", R"({"server":"\"agent\":{\\","more":[{"agent":{"state":"x"}}],"agent":{"state":"leader"},"z":"}"})");
    const auto json = parse_json(page(StatusForm::json, std::chrono::minutes(5)), "page");
    CPPUNIT_ASSERT(json && (*json)["agent"]["state"] == "silent" && (*json)["more"][0]["agent"]["state"] == "x");
    CPPUNIT_ASSERT((*json)["z"] == "}");
  }

  void of_a_page_only_its_head_is_read() {
    // More than the head is what the server sends by itself, nested or not.
    const std::string rest = ",\"certificates\":" + std::string(200000, '[');
    write("status.json", R"({"format":1,"agent":{"state":"leader"})" + rest);
    auto sent = status_page(state_, StatusForm::json, std::chrono::system_clock::now() + std::chrono::minutes(5));
    CPPUNIT_ASSERT(sent && sent->before.size() < 400);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{200000 + 16}, sent->length);
    std::filesystem::resize_file(directory_.path() + "/state/status.json", largest_status + 1);
    const auto refused = status_page(state_, StatusForm::json, std::chrono::system_clock::now());
    CPPUNIT_ASSERT(!refused && has(refused.error().message, "larger than any status"));
  }

  void a_page_that_is_cut_off_ends_with_an_error() {
    write("status.txt", std::string(50, 'x'));
    const auto page = status_page(state_, StatusForm::text, std::chrono::system_clock::now());
    std::filesystem::resize_file(directory_.path() + "/state/status.txt", 10);
    CPPUNIT_ASSERT_EQUAL(std::size_t{10}, read_page(*page, 0, 50).value().size());
    CPPUNIT_ASSERT(!read_page(*page, 10, 40));
  }

  void a_section_says_what_the_status_says() {
    const auto section = [&](SectionForm form, std::chrono::minutes later = {}) {
      SectionText text(form);
      const std::string sent = whole(status_section(state_, form, std::chrono::system_clock::now() + later).value());
      std::string shown;
      for (const char letter : sent) shown += text.part({&letter, 1});  // whatever the portions
      return shown + text.end();
    };
    CPPUNIT_ASSERT_EQUAL(std::string("EvercertAgent: silent\nEvercertCertificates: 0\n"), section(SectionForm::lines));
    CPPUNIT_ASSERT(has(section(SectionForm::html), "(agent: silent)</h2>"));
    StatusReport report;
    report.agent.state = "leader";
    CertificateStatus certificate;
    certificate.name = "<a>";
    certificate.state = CertificateState::issued_not_served;
    certificate.served.emplace().generation = 3;
    certificate.next = {Time{}, "soon"};
    certificate.problem.emplace().message = "no";
    report.certificates.push_back(certificate);
    write("section.txt", render_section_lines(report));
    write("section.tsv", render_section_rows(report));
    const std::string counts = "\nEvercertCertificates: 1\nEvercertStateIssuedNotServed: 1\n";
    CPPUNIT_ASSERT_EQUAL("EvercertAgent: leader" + counts, section(SectionForm::lines));
    CPPUNIT_ASSERT_EQUAL("EvercertAgent: silent" + counts, section(SectionForm::lines, std::chrono::minutes(5)));
    const std::string row =
        "<td>&lt;a&gt;</td><td>issued_not_served</td><td></td><td>3</td><td>1970-01-01T00:00:00Z soon</td><td>no</td>";
    CPPUNIT_ASSERT(has(section(SectionForm::html), "(agent: leader)</h2>\n<table") && has(section(SectionForm::html), row));
    const std::string later = section(SectionForm::html, std::chrono::minutes(5));
    CPPUNIT_ASSERT(has(later, "(agent: silent)</h2>\n<table") && has(later, row) && !has(later, "leader"));
  }

  void whatever_stands_in_the_file_of_a_section_is_text_in_the_page() {
    const auto shown = [](SectionForm form, const std::string& content) {
      SectionText text(form);
      const std::string part = text.part(content);
      return part + text.end();
    };
    const std::string evil = "x</h2><script>1</script>\n<img src=x onerror=1>\t\"'&\n";
    const std::string page = shown(SectionForm::html, evil);
    CPPUNIT_ASSERT(!has(page, "<script") && !has(page, "<img") && has(page, "<td>&lt;img src=x onerror=1&gt;</td><td>&quot;"));
    CPPUNIT_ASSERT(page.ends_with("</table>\n"));
    CPPUNIT_ASSERT_EQUAL(std::string("A: script\nB\n"), shown(SectionForm::lines,
                                                              "A: <script>\n\x1b\xc3\xa4"
                                                              "B\n"));
    CPPUNIT_ASSERT_EQUAL(std::string("<hr />\n<h2>evercert (agent: )</h2>\n"), shown(SectionForm::html, ""));
  }

  void a_page_that_cannot_be_read_is_an_error() {
    std::filesystem::create_directory(directory_.path() + "/state/status.html");
    CPPUNIT_ASSERT(!status_page(state_, StatusForm::html, std::chrono::system_clock::now()));
    std::filesystem::create_symlink("/etc/hostname", directory_.path() + "/state/status.json");
    CPPUNIT_ASSERT(!status_page(state_, StatusForm::json, std::chrono::system_clock::now()));
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(StatusPageTest);

}  // namespace
}  // namespace evercert
