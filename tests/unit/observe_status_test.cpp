// The three faces of the status: fixed shapes, compared with files and read back member by member.
#include <cppunit/TestFixture.h>
#include <cppunit/extensions/HelperMacros.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "agent/observe/remedies.h"
#include "agent/observe/status_report.h"
#include "evercert/text.h"
#include "serving/base/json.h"

namespace {

using namespace evercert;
using namespace std::chrono_literals;

Time at(std::int64_t seconds) {
  return Time(std::chrono::seconds(seconds));
}

constexpr std::int64_t noon = 1800000000;  // 2027-01-15T08:00:00Z

CertificateStatus served_one() {
  CertificateStatus certificate;
  certificate.name = "www.example.com";
  certificate.identifiers = {"www.example.com", "example.com"};
  certificate.issuer = "example";
  certificate.state = CertificateState::served;
  certificate.generation = 3;
  certificate.serial = "0a1b";
  certificate.not_before = at(noon - 86400 * 10);
  certificate.not_after = at(noon + 86400 * 80);
  certificate.keys = {"ecdsa:256", "rsa:2048"};
  certificate.served = CertificateStatus::Served{3, at(noon - 86400 * 9), "127.0.0.1:443"};
  certificate.next = CertificateStatus::Next{at(noon + 86400 * 50), "two thirds of its life are over"};
  return certificate;
}

CertificateStatus failing_one() {
  CertificateStatus certificate;
  certificate.name = "shop.example.com";
  certificate.identifiers = {"shop.example.com"};
  certificate.issuer = "example";
  certificate.state = CertificateState::failing;
  certificate.keys = {"ecdsa:256"};
  certificate.next = CertificateStatus::Next{at(noon + 25), "retry 2 after: the name could not be validated"};
  certificate.now = "waiting for the CA to validate 1 name";
  certificate.set_aside = {{"first", "ecdsa:256", "action_required", "fill up the account", at(noon - 60), at(noon + 86400)}};
  certificate.problem =
      StatusProblem{"challenge_failed", "shop.example.com: no address found", at(noon - 5), remedy_for("challenge_failed")};
  return certificate;
}

StatusReport small_report() {
  StatusReport report;
  report.server = "nginx/1.22.1";
  report.version = "0.1.0";
  report.generated_at = at(noon);
  report.last_run = at(noon - 1);
  report.agent = {"leader", 4711, at(noon - 3600), {"haproxy/2.6.12"}};
  report.certificates = {served_one(), failing_one()};
  report.orders = {{"shop.example.com", "ecdsa:256", "example", "placed", "https://ca.example/order/81", at(noon - 20)}};
  report.counters.orders = {{std::string("example\0issued", 14), 3}};
  report.counters.issuer_requests = {{std::string("example\0"
                                                  "2xx",
                                                  11),
                                      21},
                                     {std::string("example\0"
                                                  "4xx",
                                                  11),
                                      1}};
  report.counters.challenges = {{std::string("http-01\0valid", 13), 4}};
  return report;
}

const std::string hostile = "<script>alert(\"&'\")</script>\n\\\xff\x1b[2J";

StatusReport hostile_report() {
  StatusReport report = small_report();
  report.server = hostile;
  report.version = hostile;
  report.agent.state = hostile;
  report.agent.followers = {hostile};
  CertificateStatus& certificate = report.certificates[1];
  certificate.name = hostile;
  certificate.identifiers = {hostile};
  certificate.issuer = hostile;
  certificate.serial = hostile;
  certificate.keys = {hostile};
  certificate.now = hostile;
  certificate.next->why = hostile;
  certificate.served = CertificateStatus::Served{1, at(noon), hostile};
  certificate.problem = StatusProblem{hostile, hostile, at(noon), hostile};
  certificate.set_aside = {{hostile, hostile, hostile, hostile, at(noon), at(noon)}};
  report.orders = {{hostile, hostile, hostile, hostile, hostile, at(noon)}};
  report.counters.orders = {{hostile + '\0' + hostile, 1}};
  return report;
}

std::string expected(const std::string& name) {
  std::ifstream file(std::string(EVERCERT_TEST_DATA) + "/status/" + name);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Json parsed(const StatusReport& report) {
  Result<Json> json = parse_json(render_json(report), "the status");
  CPPUNIT_ASSERT_MESSAGE(json ? "" : json.error().message, json.has_value());
  return *json;
}

class StatusTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(StatusTest);
  CPPUNIT_TEST(the_json_is_the_one_in_the_file);
  CPPUNIT_TEST(the_metrics_are_those_in_the_file);
  CPPUNIT_TEST(the_html_is_the_one_in_the_file);
  CPPUNIT_TEST(every_member_of_the_json_reads_back);
  CPPUNIT_TEST(what_is_absent_is_null_in_json);
  CPPUNIT_TEST(an_empty_report_is_still_three_pages);
  CPPUNIT_TEST(the_text_names_issuers_that_are_set_aside);
  CPPUNIT_TEST(hostile_text_survives_json_and_breaks_nothing);
  CPPUNIT_TEST(hostile_text_cannot_leave_an_html_cell);
  CPPUNIT_TEST(hostile_text_cannot_leave_a_metric_label);
  CPPUNIT_TEST(metrics_keep_the_rules_of_the_text_format);
  CPPUNIT_TEST(each_certificate_is_in_exactly_one_state);
  CPPUNIT_TEST(what_needs_a_person_stands_first_in_html);
  CPPUNIT_TEST(html_loads_nothing_and_runs_nothing);
  CPPUNIT_TEST(times_are_rfc_3339_in_utc);
  CPPUNIT_TEST(every_kind_of_error_has_its_own_remedy);
  CPPUNIT_TEST(ten_thousand_certificates_render);
  CPPUNIT_TEST_SUITE_END();

 public:
  void the_json_is_the_one_in_the_file() { CPPUNIT_ASSERT_EQUAL(expected("small.json"), render_json(small_report())); }
  void the_metrics_are_those_in_the_file() {
    std::string metrics = render_metrics(small_report());
    const std::size_t library = metrics.find("openssl=\"") + 9;
    metrics.replace(library, metrics.find('"', library) - library, "3");
    CPPUNIT_ASSERT_EQUAL(expected("small.prom"), metrics);
  }
  void the_html_is_the_one_in_the_file() { CPPUNIT_ASSERT_EQUAL(expected("small.html"), render_html(small_report())); }

  void every_member_of_the_json_reads_back() {
    const Json json = parsed(small_report());
    CPPUNIT_ASSERT(json["format"] == 1);
    CPPUNIT_ASSERT(json["server"] == "nginx/1.22.1");
    CPPUNIT_ASSERT(json["version"] == "0.1.0");
    CPPUNIT_ASSERT(json["generated_at"] == "2027-01-15T08:00:00Z");
    CPPUNIT_ASSERT(json["last_run"] == "2027-01-15T07:59:59Z");
    const Json agent{{"state", "leader"}, {"pid", 4711}, {"since", "2027-01-15T07:00:00Z"}, {"followers", {"haproxy/2.6.12"}}};
    CPPUNIT_ASSERT(json["agent"] == agent);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, json["certificates"].size());
    const Json served{{"generation", 3}, {"since", "2027-01-06T08:00:00Z"}, {"listener", "127.0.0.1:443"}};
    const Json next{{"at", "2027-03-06T08:00:00Z"}, {"why", "two thirds of its life are over"}};
    const Json first{{"name", "www.example.com"},
                     {"identifiers", {"www.example.com", "example.com"}},
                     {"issuer", "example"},
                     {"state", "served"},
                     {"generation", 3},
                     {"serial", "0a1b"},
                     {"not_before", "2027-01-05T08:00:00Z"},
                     {"not_after", "2027-04-05T08:00:00Z"},
                     {"key", {"ecdsa:256", "rsa:2048"}},
                     {"served", served},
                     {"next", next},
                     {"now", nullptr},
                     {"problem", nullptr},
                     {"set_aside", Json::array()}};
    CPPUNIT_ASSERT_EQUAL(dump_json(first), dump_json(json["certificates"][0]));
    const Json problem{{"kind", "challenge_failed"},
                       {"message", "shop.example.com: no address found"},
                       {"since", "2027-01-15T07:59:55Z"},
                       {"remedy", remedy_for("challenge_failed")}};
    CPPUNIT_ASSERT(json["certificates"][1]["problem"] == problem);
    const Json left{{"issuer", "first"},
                    {"key", "ecdsa:256"},
                    {"kind", "action_required"},
                    {"message", "fill up the account"},
                    {"since", "2027-01-15T07:59:00Z"},
                    {"until", "2027-01-16T08:00:00Z"}};
    CPPUNIT_ASSERT(json["certificates"][1]["set_aside"] == Json::array({left}));
    CPPUNIT_ASSERT(json["certificates"][1]["now"] == "waiting for the CA to validate 1 name");
    const Json order{{"certificate", "shop.example.com"},
                     {"key", "ecdsa:256"},
                     {"issuer", "example"},
                     {"state", "placed"},
                     {"reference", "https://ca.example/order/81"},
                     {"since", "2027-01-15T07:59:40Z"}};
    CPPUNIT_ASSERT(json["orders"] == Json::array({order}));
  }

  void what_is_absent_is_null_in_json() {
    StatusReport report = small_report();
    report.certificates = {CertificateStatus{}};
    const Json json = parsed(report);
    for (const char* member : {"not_before", "not_after", "served", "next", "now", "problem"}) {
      CPPUNIT_ASSERT_MESSAGE(member, json["certificates"][0].contains(member) && json["certificates"][0][member].is_null());
    }
  }

  void an_empty_report_is_still_three_pages() {
    const Json json = parsed(StatusReport{});
    CPPUNIT_ASSERT(json["certificates"] == Json::array());
    CPPUNIT_ASSERT(json["orders"] == Json::array());
    CPPUNIT_ASSERT(render_html(StatusReport{}).ends_with("</html>\n"));
    CPPUNIT_ASSERT(render_metrics(StatusReport{}).find("\nevercert_agent_up 1\n") != std::string::npos);
  }

  void the_text_names_issuers_that_are_set_aside() {
    const std::string text = render_text(small_report());
    CPPUNIT_ASSERT(text.find("no address found; set aside: first") != std::string::npos);
    StatusReport report = small_report();
    report.certificates[1].problem.reset();
    CPPUNIT_ASSERT(render_text(report).find("  set aside: first") != std::string::npos);
  }

  void hostile_text_survives_json_and_breaks_nothing() {
    const Json json = parsed(hostile_report());
    const std::string valid = printable(hostile);
    CPPUNIT_ASSERT(json["server"] == valid);
    CPPUNIT_ASSERT(json["certificates"][1]["name"] == valid);
    CPPUNIT_ASSERT(json["certificates"][1]["problem"]["message"] == valid);
    CPPUNIT_ASSERT(json["orders"][0]["reference"] == valid);
  }

  void hostile_text_cannot_leave_an_html_cell() {
    const std::string html = render_html(hostile_report());
    CPPUNIT_ASSERT(html.find("<script") == std::string::npos);
    CPPUNIT_ASSERT(html.find('\x1b') == std::string::npos);
    CPPUNIT_ASSERT(html.find('\xff') == std::string::npos);
    CPPUNIT_ASSERT(html.find("&lt;script&gt;alert(&quot;&amp;&#39;&quot;)&lt;/script&gt;") != std::string::npos);
  }

  void hostile_text_cannot_leave_a_metric_label() {
    check_metrics(render_metrics(hostile_report()));
    CPPUNIT_ASSERT(render_metrics(hostile_report()).find(R"(<script>alert(\"&'\")</script> \\)") != std::string::npos);
  }

  void metrics_keep_the_rules_of_the_text_format() { check_metrics(render_metrics(small_report())); }

  void each_certificate_is_in_exactly_one_state() {
    const std::string metrics = render_metrics(small_report());
    const std::string prefix = "evercert_certificate_state{certificate=\"www.example.com\",state=\"";
    std::size_t all = 0;
    std::vector<std::string> ones;
    for (std::size_t at = metrics.find(prefix); at != std::string::npos; at = metrics.find(prefix, at + 1), ++all) {
      const std::string rest = metrics.substr(at + prefix.size(), metrics.find('\n', at) - at - prefix.size());
      if (rest.ends_with(" 1")) {
        ones.push_back(rest.substr(0, rest.find('"')));
      }
    }
    CPPUNIT_ASSERT_EQUAL(std::size_t{9}, all);
    CPPUNIT_ASSERT(ones == std::vector<std::string>{"served"});
  }

  void what_needs_a_person_stands_first_in_html() {
    StatusReport report = small_report();
    CertificateStatus expired = served_one();
    expired.name = "old.example.com";
    expired.state = CertificateState::expired;
    CertificateStatus sooner = served_one();
    sooner.name = "sooner.example.com";
    sooner.not_after = at(noon + 86400);
    report.certificates = {served_one(), sooner, failing_one(), expired};
    report.orders.clear();
    const std::string html = render_html(report);
    const auto place = [&](const std::string& name) { return html.find("<b>" + name + "</b>"); };
    CPPUNIT_ASSERT(place("www.example.com") != std::string::npos);
    CPPUNIT_ASSERT(place("old.example.com") < place("shop.example.com"));
    CPPUNIT_ASSERT(place("shop.example.com") < place("sooner.example.com"));
    CPPUNIT_ASSERT(place("sooner.example.com") < place("www.example.com"));
  }

  void html_loads_nothing_and_runs_nothing() {
    const std::string html = render_html(small_report());
    for (const char* forbidden : {"<script", "src=", "href=", "url(", "@import", "http://"}) {
      CPPUNIT_ASSERT_MESSAGE(forbidden, html.find(forbidden) == std::string::npos);
    }
    CPPUNIT_ASSERT(html.find("prefers-color-scheme: dark") != std::string::npos);
  }

  void times_are_rfc_3339_in_utc() {
    CPPUNIT_ASSERT_EQUAL(std::string("1970-01-01T00:00:00Z"), to_rfc3339(Time{}));
    CPPUNIT_ASSERT_EQUAL(std::string("2024-02-29T23:59:59Z"), to_rfc3339(at(1709251199)));
    CPPUNIT_ASSERT_EQUAL(std::string("1969-12-31T23:59:59Z"), to_rfc3339(Time{} - 1ms));
  }

  void every_kind_of_error_has_its_own_remedy() {
    std::set<std::string> sentences;
    const ErrorKind kinds[] = {ErrorKind::configuration, ErrorKind::action_required,  ErrorKind::issuer_refused,
                               ErrorKind::rate_limited,  ErrorKind::connection,       ErrorKind::key_provider,
                               ErrorKind::storage,       ErrorKind::challenge_failed, ErrorKind::internal};
    for (const ErrorKind kind : kinds) {
      sentences.insert(remedy_for(to_string(kind)));
    }
    CPPUNIT_ASSERT_EQUAL(std::size(kinds), sentences.size());
    CPPUNIT_ASSERT(!sentences.contains(remedy_for("unheard of")));
  }

  void ten_thousand_certificates_render() {
    StatusReport report = small_report();
    report.certificates.assign(10000, failing_one());
    CPPUNIT_ASSERT_EQUAL(std::size_t{10000}, parsed(report)["certificates"].size());
    check_metrics(render_metrics(report));
    CPPUNIT_ASSERT(render_html(report).ends_with("</html>\n"));
  }

 private:
  static std::string take_word(std::string_view& rest) {
    const std::size_t end = std::min(rest.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), rest.size());
    const std::string word(rest.substr(0, end));
    rest.remove_prefix(end);
    return word;
  }
  // A quoted label value: a backslash stands only before another one, a quote or an n.
  static bool take_value(std::string_view& rest) {
    if (!rest.starts_with('"')) {
      return false;
    }
    for (std::size_t at = 1; at < rest.size(); ++at) {
      if (rest[at] == '"') {
        rest.remove_prefix(at + 1);
        return true;
      }
      if (rest[at] == '\\' && std::string_view("\\\"n").find(rest[++at]) == std::string_view::npos) {
        return false;
      }
    }
    return false;
  }
  // The name of the family a sample belongs to, or empty when the line is not one.
  static std::string family_of(std::string_view rest) {
    const std::string name = take_word(rest);
    if (rest.starts_with('{')) {
      do {
        rest.remove_prefix(1);
        if (take_word(rest).empty() || !rest.starts_with('=')) {
          return {};
        }
        rest.remove_prefix(1);
        if (!take_value(rest)) {
          return {};
        }
      } while (rest.starts_with(','));
      if (!rest.starts_with('}')) {
        return {};
      }
      rest.remove_prefix(1);
    }
    const bool number =
        rest.size() > 1 && rest[0] == ' ' && rest.substr(1).find_first_not_of("-0123456789") == std::string::npos;
    return number ? name : std::string();
  }
  // Each family once and together, HELP and TYPE first, names and labels well-formed, counters end in _total.
  static void check_metrics(const std::string& metrics) {
    std::istringstream lines(metrics);
    std::string family;
    std::string helped;
    std::set<std::string> families;
    std::size_t samples = 0;
    for (std::string line; std::getline(lines, line);) {
      std::string_view rest = line;
      if (line.starts_with("# HELP ")) {
        rest.remove_prefix(7);
        helped = take_word(rest);
      } else if (line.starts_with("# TYPE ")) {
        rest.remove_prefix(7);
        family = take_word(rest);
        CPPUNIT_ASSERT_EQUAL(helped, family);
        CPPUNIT_ASSERT_MESSAGE(line, families.insert(family).second);
        CPPUNIT_ASSERT_MESSAGE(line, rest == " gauge" || rest == " counter");
        CPPUNIT_ASSERT_EQUAL_MESSAGE(line, rest == " counter", family.ends_with("_total"));
      } else {
        CPPUNIT_ASSERT_EQUAL_MESSAGE(line, family, family_of(line));
        ++samples;
      }
    }
    CPPUNIT_ASSERT(samples > 0);
    CPPUNIT_ASSERT(metrics.ends_with('\n'));
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(StatusTest);

}  // namespace
