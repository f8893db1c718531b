// evercert.json: places, refusals, includes, hostile texts, and the way back.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "serving/base/encoding.h"
#include "unit/config_fixture.h"

namespace evercert::test {

namespace {

class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("evercert-config-" + to_hex(random_bytes(8)))) {
    std::filesystem::create_directory(path_);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string write(const std::string& name, const std::string& content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
    return path_ / name;
  }
  [[nodiscard]] std::string path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string refusal_of_file(const std::string& path) {
  Settings settings;
  const auto read = read_settings_file(settings, path);
  CPPUNIT_ASSERT(!read);
  return read.error().message;
}

}  // namespace

class SettingsFileTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(SettingsFileTest);
  CPPUNIT_TEST(strings_arrays_switches_and_numbers_become_words);
  CPPUNIT_TEST(every_place_has_the_line_of_its_own_member);
  CPPUNIT_TEST(advice_on_the_state_path_says_where_and_as_the_file_spells_it);
  CPPUNIT_TEST(comments_and_windows_line_ends_do_not_shift_lines);
  CPPUNIT_TEST(numbers_before_a_line_end_are_on_their_own_line);
  CPPUNIT_TEST(an_unknown_member_is_refused_with_file_line_and_neighbour);
  CPPUNIT_TEST(a_member_given_twice_is_refused);
  CPPUNIT_TEST(values_of_a_wrong_type_are_refused_with_the_right_one);
  CPPUNIT_TEST(broken_json_is_refused_with_its_line_and_without_its_words);
  CPPUNIT_TEST(every_truncation_is_refused);
  CPPUNIT_TEST(a_mistyped_list_gets_the_nearest_word);
  CPPUNIT_TEST(deep_nesting_is_refused);
  CPPUNIT_TEST(huge_numbers_are_refused);
  CPPUNIT_TEST(bytes_that_are_not_utf_8_are_refused);
  CPPUNIT_TEST(relative_files_are_below_the_directory_of_the_file);
  CPPUNIT_TEST(a_missing_file_is_named);
  CPPUNIT_TEST(an_include_is_read_in_its_place_and_not_kept);
  CPPUNIT_TEST(a_fault_in_an_included_file_names_that_file);
  CPPUNIT_TEST(files_that_include_each_other_are_refused);
  CPPUNIT_TEST(what_was_set_before_stays_and_may_not_be_set_again);
  CPPUNIT_TEST(json_of_settings_reads_back_as_the_same_settings);
  CPPUNIT_TEST(a_number_with_zeros_before_it_is_handed_on_as_a_number);
  CPPUNIT_TEST(ten_thousand_certificates_come_back);
  CPPUNIT_TEST_SUITE_END();

 public:
  void strings_arrays_switches_and_numbers_become_words() {
    const Settings settings = settings_of(R"({"http_port": 5002, "proof": false, "state_path": ["/s", "force"],
      "issuers": {"ca": {"contact": "a@b.c", "accept_terms_of_service": true}}, "certificates": [{"plain_ports": [80, 8080]}]})");
    const auto& global = settings.global.settings;
    CPPUNIT_ASSERT_EQUAL(std::string("5002"), global.at(0).words.at(0));
    CPPUNIT_ASSERT_EQUAL(std::string("off"), global.at(1).words.at(0));
    CPPUNIT_ASSERT_EQUAL(std::string("force"), global.at(2).words.at(1));
    CPPUNIT_ASSERT_EQUAL(std::string("a@b.c"), settings.issuers.at(0).settings.at(0).words.at(0));
    CPPUNIT_ASSERT_EQUAL(std::string("on"), settings.issuers.at(0).settings.at(1).words.at(0));
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, settings.certificates.at(0).settings.at(0).words.size());
  }

  void every_place_has_the_line_of_its_own_member() {
    const Settings settings = settings_of(
        "{\n"                                 // 1
        "  \"state_path\": \"/s\",\n"         // 2
        "  \"issuers\": {\n"                  // 3
        "    \"ca\": {\n"                     // 4
        "      \"uri\":\n"                    // 5
        "        \"https://ca.example/\",\n"  // 6
        "      \"contact\": [\n"              // 7
        "        \"a@b.c\"\n"                 // 8
        "      ]\n"                           // 9
        "    }\n"                             // 10
        "  },\n"                              // 11
        "  \"certificates\": [\n"             // 12
        "    {\n"                             // 13
        "      \"identifiers\": [\"a.example\",\n"
        "                      \"b.example\"], \"key\": \"rsa:2048\"\n"  // 15
        "    },\n"
        "    { \"identifiers\": \"c.example\" }\n"  // 17
        "  ]\n"
        "}\n");
    const auto line = [](const Section& section, std::size_t index) { return section.settings.at(index).place.line; };
    CPPUNIT_ASSERT_EQUAL(2U, line(settings.global, 0));
    CPPUNIT_ASSERT_EQUAL(4U, settings.issuers.at(0).place.line);
    CPPUNIT_ASSERT_EQUAL(5U, line(settings.issuers.at(0), 0));
    CPPUNIT_ASSERT_EQUAL(7U, line(settings.issuers.at(0), 1));
    CPPUNIT_ASSERT_EQUAL(13U, settings.certificates.at(0).place.line);
    CPPUNIT_ASSERT_EQUAL(14U, line(settings.certificates.at(0), 0));
    CPPUNIT_ASSERT_EQUAL(15U, line(settings.certificates.at(0), 1));
    CPPUNIT_ASSERT_EQUAL(17U, settings.certificates.at(1).place.line);
    CPPUNIT_ASSERT_EQUAL(std::string("/etc/evercert/evercert.json"), settings.certificates.at(1).place.file);
  }

  void advice_on_the_state_path_says_where_and_as_the_file_spells_it() {
    CPPUNIT_ASSERT_EQUAL(std::string("write \"state_path\": \"/s-haproxy\", as the first after the { in "
                                     "/etc/evercert/evercert.json:2"),
                         state_path_advice(settings_of("// ours\n{\n\"proof\": false }"), "HAProxy/2.6", "/s-haproxy"));
    CPPUNIT_ASSERT_EQUAL(std::string("write \"state_path\": \"/s-haproxy\""),
                         state_path_advice(settings_of("{\n\"state_path\": \"/s\" }"), "HAProxy/2.6", "/s-haproxy"));
    Settings settings;
    settings.issuers.push_back({"ca", {"/etc/nginx/conf.d/a.conf", 7}, {}});
    CPPUNIT_ASSERT_EQUAL(std::string("write evercert_state_path /s-a; beside the issuer in /etc/nginx/conf.d/a.conf:7"),
                         state_path_advice(settings, "nginx/1.22.1", "/s-a"));
    CPPUNIT_ASSERT_EQUAL(std::string("write EvercertStatePath /s-a beside the issuer in /etc/nginx/conf.d/a.conf:7"),
                         state_path_advice(settings, "Apache/2.4.62", "/s-a"));
  }

  void comments_and_windows_line_ends_do_not_shift_lines() {
    const Settings settings = settings_of("// one\r\n/* two\r\nthree */ {\r\n// four\r\n\"tls_port\": 8443 // five\r\n}");
    CPPUNIT_ASSERT_EQUAL(5U, settings.global.settings.at(0).place.line);
  }

  void numbers_before_a_line_end_are_on_their_own_line() {
    assert_contains(refusal_of("{\n\"http_port\": 80,\n\"state_path\": 7\n\n}"), "evercert.json:3: ");
  }

  void an_unknown_member_is_refused_with_file_line_and_neighbour() {
    assert_contains(refusal_of("{\n\"stat_path\": \"/s\"}"),
                    "/etc/evercert/evercert.json:2: there is no option \"stat_path\"; did you mean \"state_path\"?");
    assert_contains(refusal_of("{\"issuers\": {\"a\": {\n\n\"url\": \"x\"}}}"),
                    ":3: there is no option \"url\" in an issuer; did you mean \"uri\"?");
    assert_contains(refusal_of("{\"certificates\": [{\n\"names\": \"x\"}]}"),
                    ":2: there is no option \"names\" for a certificate; did you mean \"name\"?");
    assert_contains(refusal_of("{\"nonsense\": {}}"), "there is no option \"nonsense\"");
  }

  void a_member_given_twice_is_refused() {
    assert_contains(refusal_of("{\"http_port\": 80,\n\"http_port\": 80}"), ":2: \"http_port\" is given twice");
    assert_contains(refusal_of("{\"issuers\": {\"a\": {},\n\"a\": {}}}"), ":2: \"a\" is given twice");
    assert_contains(refusal_of("{\"certificates\": [],\n\"certificates\": []}"), ":2: \"certificates\" is given twice");
    assert_contains(refusal_of("{\"issuers\": {\"a\": {\"contact\": \"x@y\",\n\"contact\": \"z@y\"}}}"),
                    ":2: \"contact\" is given twice");
  }

  void values_of_a_wrong_type_are_refused_with_the_right_one() {
    assert_contains(refusal_of("[]"), "must hold an object");
    assert_contains(refusal_of("7"), "must hold an object");
    assert_contains(refusal_of("{\"issuers\": []}"), "\"issuers\" is an array; write an object with one member per issuer");
    assert_contains(refusal_of("{\"issuers\": \"x\"}"), "\"issuers\" is a string");
    assert_contains(refusal_of("{\"issuers\": {\"ca\": \"x\"}}"), "issuer \"ca\" is a string; write an object");
    assert_contains(refusal_of("{\"issuers\": {\"ca\": null}}"), "issuer \"ca\" is null");
    assert_contains(refusal_of("{\"certificates\": {}}"), "\"certificates\" is an object; write an array");
    assert_contains(refusal_of("{\"certificates\": [\"x\"]}"), "holds a string");
    assert_contains(refusal_of("{\"certificates\": [[]]}"), "holds an array");
    assert_contains(refusal_of("{\"state_path\": 1}"), "\"state_path\" is a number; write a string or an array of strings");
    assert_contains(refusal_of("{\"agent_user\": true}"), "\"agent_user\" is true; write a string");
    assert_contains(refusal_of("{\"agent_user\": null}"), "\"agent_user\" is null");
    assert_contains(refusal_of("{\"agent_user\": {}}"), "\"agent_user\" is an object");
    assert_contains(refusal_of("{\"http_port\": false}"), "\"http_port\" is false; write a number");
    assert_contains(refusal_of("{\"proof\": 1}"), "\"proof\" is a number; write true or false");
    assert_contains(refusal_of("{\"proof\": []}"), "\"proof\" is an array; write true or false");
    assert_contains(refusal_of("{\"http_port\": \"29002\"}"), "\"http_port\" is a string; write a number, without quotes");
    assert_contains(refusal_of("{\"certificates\": [{\"plain_ports\": [80, \"8080\"]}]}"), "write numbers, without quotes");
    assert_contains(refusal_of("{\"proof\": \"on\"}"), "\"proof\" is a string; write true or false, without quotes");
    assert_contains(refusal_of("{\"state_path\": [[\"/s\"]]}"), "\"state_path\" is an array");
    assert_contains(refusal_of("{\"state_path\": [{}]}"), "\"state_path\" is an object");
    assert_contains(refusal_of("{\"state_path\": [null]}"), "\"state_path\" is null");
    assert_contains(refusal_of("{\"state_path\": []}"), "takes 1 to 2 words, not 0");
    assert_contains(refusal_of("{\"agent_user\": \"a\\u0000b\"}"), "control character");
  }

  void broken_json_is_refused_with_its_line_and_without_its_words() {
    const std::string message =
        refusal_of("{\n\"issuers\": { \"ca\": { \"external_account_key\": [\"kid\", \"data:SECRET\n\"] } } }");
    assert_contains(message, "/etc/evercert/evercert.json:2: this is not valid JSON: ");
    CPPUNIT_ASSERT(message.find("SECRET") == std::string::npos);
    CPPUNIT_ASSERT(refusal_of("{\"agent_user\": 'a SECRET' ").find("SECRET") == std::string::npos);
    assert_contains(refusal_of("{\n\"http_port\": 80\n\"tls_port\": 443 }"), ":3: this is not valid JSON: ");
    assert_contains(refusal_of(""), ":1: this is not valid JSON: ");
    assert_contains(refusal_of("{} {}"), "this is not valid JSON: ");
  }

  void every_truncation_is_refused() {
    const std::string whole = document("", R"({"name": "a", "identifiers": ["a.example"], "each": false})");
    settings_of(whole);
    for (std::size_t length = 0; length < whole.size(); ++length)
      if (whole.find_first_not_of(" \n", length) != std::string::npos) refusal_of(whole.substr(0, length));
  }

  void a_mistyped_list_gets_the_nearest_word() {
    assert_contains(refusal_of("{\n\"certificate\": []}"),
                    ":2: there is no option \"certificate\", did you mean \"certificates\"?");
    assert_contains(refusal_of("{\"isuers\": {}}"), "did you mean \"issuers\"?");
    assert_contains(refusal_of("{\"http_prt\": 80}"), "did you mean \"http_port\"?");
  }

  void deep_nesting_is_refused() {
    const std::string open(200000, '[');
    refusal_of(open);
    refusal_of("{\"state_path\": " + open);
    refusal_of("{\"certificates\": " + open);
    std::string objects;
    for (int i = 0; i < 50000; ++i) objects += "{\"issuers\":";
    refusal_of(objects);
  }

  void huge_numbers_are_refused() {
    const Settings settings = settings_of("{\"http_port\": 99999999999999999999999, \"tls_port\": -1, \"cache_size\": 1.5}");
    MadeUpFiles files;
    const Checked result = checked(settings, files);
    CPPUNIT_ASSERT_EQUAL_MESSAGE(all_of(result), std::size_t{3}, result.complaints.size());
    assert_contains(refusal_of("{\"http_port\": 1e999999}"), "a number is too large");
  }

  void bytes_that_are_not_utf_8_are_refused() {
    assert_contains(refusal_of("{\n\"agent_user\": \"\xff\xfe\"}"), ":2: this is not valid JSON");
    refusal_of("\x80");
  }

  void relative_files_are_below_the_directory_of_the_file() {
    const Settings settings = settings_of(document(R"(, "ssl_trusted_certificate": "ca.pem")", ""));
    CPPUNIT_ASSERT_EQUAL(std::string("/etc/evercert/ca.pem"), settings.issuers.at(0).settings.back().words.at(0));
  }

  void a_missing_file_is_named() {
    assert_contains(refusal_of_file("/nonexistent/evercert.json"), "/nonexistent/evercert.json: there is no such file");
    assert_contains(refusal_of_file("/"), "/");
  }

  void an_include_is_read_in_its_place_and_not_kept() {
    const Folder folder;
    folder.write("shared.json",
                 "{\"issuers\": {\"ca\": {\"uri\": \"https://ca.example/\",\n\"ssl_trusted_certificate\": \"ca.pem\"}}}");
    const std::string main =
        folder.write("main.json", "{\"include\": \"shared.json\",\n\"program\": \"bin/evercert\", \"certificates\": []}");
    Settings settings;
    CPPUNIT_ASSERT(read_settings_file(settings, main));
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, settings.issuers.size());
    const Setting& trusted = settings.issuers[0].settings.at(1);
    CPPUNIT_ASSERT_EQUAL(folder.path() + "/ca.pem", trusted.words.at(0));
    CPPUNIT_ASSERT_EQUAL(folder.path() + "/shared.json:2", trusted.place.text());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, settings.global.settings.size());
    CPPUNIT_ASSERT_EQUAL(main + ":2", settings.global.settings[0].place.text());
    CPPUNIT_ASSERT(to_json(settings).find("include") == std::string::npos);
  }

  void a_fault_in_an_included_file_names_that_file() {
    const Folder folder;
    const std::string shared = folder.write("shared.json", "{\n\n\"foo\": 1}");
    assert_contains(refusal_of_file(folder.write("main.json", "{\"include\": [\"shared.json\"]}")), shared + ":3: ");
    const std::string main = folder.write("main.json", "{\"include\": [\"gone.json\"]}");
    assert_contains(refusal_of_file(main), folder.path() + "/gone.json: there is no such file (included from " + main + ")");
  }

  void files_that_include_each_other_are_refused() {
    const Folder folder;
    folder.write("a.json", "{\"include\": \"b.json\"}");
    folder.write("b.json", "{\"include\": \"a.json\"}");
    assert_contains(refusal_of_file(folder.path() + "/a.json"), "includes itself");
    for (int i = 0; i < 12; ++i)
      folder.write(std::to_string(i) + ".json", "{\"include\": \"" + std::to_string(i + 1) + ".json\"}");
    assert_contains(refusal_of_file(folder.path() + "/0.json"), "more than 8 deep");
  }

  void what_was_set_before_stays_and_may_not_be_set_again() {
    Settings settings;
    CPPUNIT_ASSERT(set(settings.global, Scope::global, "program", std::vector<std::string>{"bin/evercert"}, {"nginx.conf", 4}));
    CPPUNIT_ASSERT(read_settings_text(settings, "{\"http_port\": 80}", "/etc/a.json"));
    CPPUNIT_ASSERT_EQUAL(std::string("bin/evercert"), settings.global.settings[0].words[0]);
    const auto again = read_settings_text(settings, "{\"program\": \"/x\"}", "/etc/a.json");
    CPPUNIT_ASSERT(!again);
    assert_contains(again.error().message, "/etc/a.json:1: \"program\" is given twice, first at nginx.conf:4");
  }

  void json_of_settings_reads_back_as_the_same_settings() {
    const Settings settings = settings_of(document(
        R"(, "contact": ["a@b.c", "d@e.f"], "external_account_key": ["kid", "data:AAAA"], "profile": "short", "max_orders": 3)",
        R"({"name": "one", "identifiers": ["b.example", "a.example"], "key": ["ecdsa:384", "rsa:2048"], "placeholder": true,
            "proof_address": ["127.0.0.1:8443", "proxy_protocol"], "plain_ports": [80]},
           {"server_names": ["c.example"], "each": true, "plain_ports": []})",
        R"(, "state_path": ["/s", "force"], "http_port": 5002, "proof": false)"));
    const std::string json = to_json(settings);
    const Settings again = settings_of(json);
    CPPUNIT_ASSERT_EQUAL(json, to_json(again));
    MadeUpFiles files;
    const Checked first = checked(settings, files);
    const Checked second = checked(again, files);
    CPPUNIT_ASSERT_MESSAGE(all_of(first), first.plan && second.plan);
    CPPUNIT_ASSERT_EQUAL(first.plan->certificates.size(), second.plan->certificates.size());
    for (std::size_t i = 0; i < first.plan->certificates.size(); ++i) {
      const CertificateSpec& left = first.plan->certificates[i];
      const CertificateSpec& right = second.plan->certificates[i];
      CPPUNIT_ASSERT_EQUAL(left.name, right.name);
      CPPUNIT_ASSERT(left.identifiers == right.identifiers && left.issuers == right.issuers && left.keys == right.keys);
      CPPUNIT_ASSERT(left.proof == right.proof && left.placeholder == right.placeholder);
      CPPUNIT_ASSERT(left.proof_addresses == right.proof_addresses);
    }
    const IssuerSpec& issuer = second.plan->issuers.at(0);
    CPPUNIT_ASSERT(issuer.contacts == first.plan->issuers.at(0).contacts && issuer.contacts.size() == 2);
    CPPUNIT_ASSERT_EQUAL(std::string("kid"), issuer.external_account->kid);
    CPPUNIT_ASSERT_EQUAL(3U, issuer.max_orders);
    CPPUNIT_ASSERT_EQUAL(std::string("/s"), second.plan->state_path);
  }

  void a_number_with_zeros_before_it_is_handed_on_as_a_number() {
    Settings settings;
    CPPUNIT_ASSERT(set(settings.global, Scope::global, "http_port", std::vector<std::string>{"0080"}, {"nginx.conf", 1}));
    CPPUNIT_ASSERT_EQUAL(std::string("80"), settings_of(to_json(settings)).global.settings.at(0).words.at(0));
  }

  void ten_thousand_certificates_come_back() {
    Settings settings = settings_of(document("", " "));
    for (int i = 0; i < 10000; ++i) {
      Section section;
      section.place = {"/etc/nginx/sites/all.conf", static_cast<unsigned>(i + 1)};
      const std::vector<std::string> names{"www" + std::to_string(i) + ".example.com",
                                           "w" + std::to_string(i) + ".example.com"};
      CPPUNIT_ASSERT(set(section, Scope::certificate, "server_names", names, section.place));
      settings.certificates.push_back(std::move(section));
    }
    const Settings again = settings_of(to_json(settings));
    MadeUpFiles files;
    const Checked result = checked(again, files);
    CPPUNIT_ASSERT_MESSAGE(all_of(result), result.plan.has_value());
    CPPUNIT_ASSERT_EQUAL(std::size_t{10000}, result.plan->certificates.size());
    CPPUNIT_ASSERT_EQUAL(std::string("www9999.example.com"), result.plan->certificates.back().name);
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(SettingsFileTest);

}  // namespace evercert::test
