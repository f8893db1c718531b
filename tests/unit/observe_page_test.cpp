#include <cppunit/extensions/HelperMacros.h>

#include <filesystem>
#include <fstream>

#include "evercert/status.h"
#include "fake/state_directory.h"
#include "serving/base/json.h"

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
    return *text;
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
    CPPUNIT_ASSERT(has(*status_page(state_, StatusForm::html, now), "not running"));
    CPPUNIT_ASSERT(has(*status_page(state_, StatusForm::metrics, now), "evercert_agent_up 0\n"));
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
