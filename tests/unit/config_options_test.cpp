// The option table, set(), and what is printed from the table.
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "serving/config/reference.h"
#include "serving/config/spelling.h"
#include "unit/config_fixture.h"

namespace evercert::test {

namespace {

const std::string root = std::filesystem::path(EVERCERT_TEST_DATA "/../..").lexically_normal();

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  CPPUNIT_ASSERT_MESSAGE("cannot read " + path, file.good());
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

std::string refusal(Section& section, Scope scope, const std::string& option, const std::vector<std::string>& words) {
  const auto done = set(section, scope, option, words, {"nginx.conf", 7});
  CPPUNIT_ASSERT(!done);
  CPPUNIT_ASSERT(done.error().kind == ErrorKind::configuration);
  return done.error().message;
}

std::set<std::string> names_of(Scope scope) {
  std::set<std::string> names;
  for (const Option& option : options())
    if (option.scope == scope) names.emplace(option.name);
  return names;
}

std::set<std::string> members_of(const nlohmann::json& schema) {
  std::set<std::string> names;
  for (const auto& [name, unused] : schema.at("properties").items()) names.insert(name);
  return names;
}

}  // namespace

class OptionsTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(OptionsTest);
  CPPUNIT_TEST(every_option_is_found_in_its_own_scope_only);
  CPPUNIT_TEST(every_word_of_nginx_s_own_module_is_there);
  CPPUNIT_TEST(defaults_in_the_table_are_those_of_the_plan);
  CPPUNIT_TEST(a_mistyped_option_is_told_its_neighbour);
  CPPUNIT_TEST(another_word_has_no_neighbour);
  CPPUNIT_TEST(options_of_the_server_are_no_neighbours);
  CPPUNIT_TEST(an_unknown_option_is_refused_with_its_neighbour);
  CPPUNIT_TEST(too_few_and_too_many_words_are_refused_with_the_syntax);
  CPPUNIT_TEST(an_option_given_twice_is_refused_with_the_first_place);
  CPPUNIT_TEST(a_repeatable_option_adds_up);
  CPPUNIT_TEST(control_characters_are_refused_but_in_keys_written_in_place);
  CPPUNIT_TEST(the_name_of_a_certificate_names_its_section);
  CPPUNIT_TEST(file_words_become_absolute_and_nothing_else_does);
  CPPUNIT_TEST(the_reference_page_is_the_one_committed);
  CPPUNIT_TEST(the_schema_knows_exactly_the_options);
  CPPUNIT_TEST(options_are_spelled_as_each_server_spells_them);
  CPPUNIT_TEST(a_certificate_is_written_in_one_line);
  CPPUNIT_TEST_SUITE_END();

 public:
  void a_certificate_is_written_in_one_line() {
    Section section;
    const std::vector<std::string> words{"one,two", "a.example", "key=rsa:2048", "b.example", "name=both"};
    CPPUNIT_ASSERT(set_certificate_line(section, words));
    CPPUNIT_ASSERT_EQUAL(std::string("both"), section.name);
    CPPUNIT_ASSERT_EQUAL(std::size_t{4}, section.settings.size());
    CPPUNIT_ASSERT_EQUAL(std::string("one,two"), section.settings.front().words.front());
    CPPUNIT_ASSERT_EQUAL(std::string("b.example"), section.settings.back().words.back());
    Section other;
    CPPUNIT_ASSERT(!set_certificate_line(other, {}));
    CPPUNIT_ASSERT(!set_certificate_line(other, std::vector<std::string>{"one", "colour=green"}));
    CPPUNIT_ASSERT_EQUAL(std::string("AcceptTermsOfService"), camel_case("accept_terms_of_service"));
  }

  void every_option_is_found_in_its_own_scope_only() {
    for (const Option& option : options()) {
      CPPUNIT_ASSERT_EQUAL(&option, find_option(option.scope, option.name));
      CPPUNIT_ASSERT(!option.help.empty());
      CPPUNIT_ASSERT(!option.syntax.empty());
      CPPUNIT_ASSERT(option.max_words == 0 || option.min_words <= option.max_words);
    }
    CPPUNIT_ASSERT(find_option(Scope::global, "uri") == nullptr);
    CPPUNIT_ASSERT(find_option(Scope::certificate, "contact") == nullptr);
  }

  void every_word_of_nginx_s_own_module_is_there() {
    for (const char* const word :
         {"uri", "account_key", "challenge", "common_name_in_csr", "contact", "external_account_key", "preferred_chain",
          "profile", "ssl_trusted_certificate", "ssl_verify", "state_path", "accept_terms_of_service"})
      CPPUNIT_ASSERT_MESSAGE(word, find_option(Scope::issuer, word) != nullptr);
    CPPUNIT_ASSERT(find_option(Scope::global, "shared_zone") != nullptr);
  }

  void defaults_in_the_table_are_those_of_the_plan() {
    const auto fallback = [](Scope scope, const char* name) { return std::string(find_option(scope, name)->fallback); };
    const Plan plan = plan_of(document("", R"({"identifiers": "a.example"})"));
    CPPUNIT_ASSERT_EQUAL(fallback(Scope::global, "state_path"), plan.state_path);
    CPPUNIT_ASSERT_EQUAL(fallback(Scope::global, "program"), plan.program);
    CPPUNIT_ASSERT_EQUAL(fallback(Scope::global, "http_port"), std::to_string(plan.http_port));
    CPPUNIT_ASSERT_EQUAL(fallback(Scope::global, "tls_port"), std::to_string(plan.tls_port));
    CPPUNIT_ASSERT_EQUAL(fallback(Scope::global, "cache_size"), std::to_string(plan.cache_size));
    const IssuerSpec& issuer = plan.issuers.at(0);
    CPPUNIT_ASSERT_EQUAL(fallback(Scope::issuer, "type"), issuer.type);
    CPPUNIT_ASSERT_EQUAL(fallback(Scope::issuer, "account_key"), issuer.account_key.text());
    CPPUNIT_ASSERT_EQUAL(fallback(Scope::issuer, "challenge"), std::string(to_string(issuer.challenge)));
    CPPUNIT_ASSERT_EQUAL(fallback(Scope::issuer, "max_orders"), std::to_string(issuer.max_orders));
    CPPUNIT_ASSERT(issuer.verify && !issuer.common_name_in_csr && issuer.proxy.uri.empty());
    const CertificateSpec& certificate = plan.certificates.at(0);
    CPPUNIT_ASSERT_EQUAL(fallback(Scope::certificate, "key"), certificate.keys.at(0).text());
    CPPUNIT_ASSERT(certificate.proof && !certificate.placeholder);
  }

  void a_mistyped_option_is_told_its_neighbour() {
    const auto nearest = [](Scope scope, const char* name) {
      const Option* const option = nearest_option(scope, name);
      return option == nullptr ? std::string() : std::string(option->name);
    };
    CPPUNIT_ASSERT_EQUAL(std::string("contact"), nearest(Scope::issuer, "contcat"));
    CPPUNIT_ASSERT_EQUAL(std::string("uri"), nearest(Scope::issuer, "url"));
    CPPUNIT_ASSERT_EQUAL(std::string("accept_terms_of_service"), nearest(Scope::issuer, "accept_term_of_services"));
    CPPUNIT_ASSERT_EQUAL(std::string("state_path"), nearest(Scope::global, "statepath"));
    CPPUNIT_ASSERT_EQUAL(std::string("identifiers"), nearest(Scope::certificate, "identifier"));
  }

  void another_word_has_no_neighbour() {
    CPPUNIT_ASSERT(nearest_option(Scope::issuer, "colour") == nullptr);
    CPPUNIT_ASSERT(nearest_option(Scope::issuer, "") == nullptr);
    CPPUNIT_ASSERT(nearest_option(Scope::issuer, std::string(100000, 'c')) == nullptr);
  }

  void options_of_the_server_are_no_neighbours() {
    CPPUNIT_ASSERT(nearest_option(Scope::certificate, "server_name") == nullptr);
  }

  void an_unknown_option_is_refused_with_its_neighbour() {
    Section section;
    const std::string message = refusal(section, Scope::issuer, "contac", {"a@b"});
    assert_contains(message, "\"contac\"");
    assert_contains(message, "did you mean \"contact\"?");
    CPPUNIT_ASSERT(section.settings.empty());
  }

  void too_few_and_too_many_words_are_refused_with_the_syntax() {
    Section section;
    assert_contains(refusal(section, Scope::issuer, "external_account_key", {"kid"}), "takes 2 words, not 1");
    assert_contains(refusal(section, Scope::issuer, "uri", {"a", "b"}), "takes 1 word, not 2; write: uri URI");
    assert_contains(refusal(section, Scope::issuer, "profile", {}), "takes 1 to 2 words, not 0");
    assert_contains(refusal(section, Scope::issuer, "contact", {}), "takes at least 1 word, not 0");
    CPPUNIT_ASSERT(section.settings.empty());
  }

  void an_option_given_twice_is_refused_with_the_first_place() {
    Section section;
    CPPUNIT_ASSERT(set(section, Scope::global, "http_port", std::vector<std::string>{"80"}, {"nginx.conf", 3}));
    const std::string message = refusal(section, Scope::global, "http_port", {"81"});
    assert_contains(message, "given twice, first at nginx.conf:3");
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, section.settings.size());
  }

  void a_repeatable_option_adds_up() {
    Section section;
    CPPUNIT_ASSERT(set(section, Scope::issuer, "contact", std::vector<std::string>{"a@b.c"}, {"nginx.conf", 3}));
    CPPUNIT_ASSERT(set(section, Scope::issuer, "contact", std::vector<std::string>{"d@e.f"}, {"nginx.conf", 4}));
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, section.settings.size());
    CPPUNIT_ASSERT_EQUAL(std::string("nginx.conf:4"), section.settings[1].place.text());
  }

  void control_characters_are_refused_but_in_keys_written_in_place() {
    Section section;
    assert_contains(refusal(section, Scope::issuer, "uri", {"https://a\n"}), "control character");
    assert_contains(refusal(section, Scope::issuer, "external_account_key", {"kid", std::string("data:a\0", 7)}), "control");
    CPPUNIT_ASSERT(set(section, Scope::issuer, "external_account_key", std::vector<std::string>{"kid", "data:a\n b"}, {}));
  }

  void the_name_of_a_certificate_names_its_section() {
    Section section;
    CPPUNIT_ASSERT(set(section, Scope::certificate, "name", std::vector<std::string>{"shop"}, {}));
    CPPUNIT_ASSERT_EQUAL(std::string("shop"), section.name);
  }

  void file_words_become_absolute_and_nothing_else_does() {
    const auto anchored = [](Scope scope, const char* option, std::vector<std::string> words) {
      Section section;
      CPPUNIT_ASSERT(set(section, scope, option, words, {}));
      anchor_paths(section.settings[0], "/etc/nginx");
      std::string joined;
      for (const std::string& word : section.settings[0].words) joined += (joined.empty() ? "" : " ") + word;
      return joined;
    };
    CPPUNIT_ASSERT_EQUAL(std::string("/etc/nginx/ca.pem"), anchored(Scope::issuer, "ssl_trusted_certificate", {"ca.pem"}));
    CPPUNIT_ASSERT_EQUAL(std::string("/ca.pem"), anchored(Scope::issuer, "ssl_trusted_certificate", {"/ca.pem"}));
    CPPUNIT_ASSERT_EQUAL(std::string("kid /etc/nginx/key"), anchored(Scope::issuer, "external_account_key", {"kid", "key"}));
    CPPUNIT_ASSERT_EQUAL(std::string("kid data:key"), anchored(Scope::issuer, "external_account_key", {"kid", "data:key"}));
    CPPUNIT_ASSERT_EQUAL(std::string("ecdsa:256"), anchored(Scope::issuer, "account_key", {"ecdsa:256"}));
    CPPUNIT_ASSERT_EQUAL(std::string("/etc/nginx/a.key"), anchored(Scope::issuer, "account_key", {"a.key"}));
    CPPUNIT_ASSERT_EQUAL(std::string("http://p:1 user /etc/nginx/f"),
                         anchored(Scope::issuer, "proxy", {"http://p:1", "user", "f"}));
    // What the service manager or the environment holds is no file.
    CPPUNIT_ASSERT_EQUAL(std::string("http://p:1 user credential:f"),
                         anchored(Scope::issuer, "proxy", {"http://p:1", "user", "credential:f"}));
    CPPUNIT_ASSERT_EQUAL(std::string("kid credential:f"),
                         anchored(Scope::issuer, "external_account_key", {"kid", "credential:f"}));
    CPPUNIT_ASSERT_EQUAL(std::string("credential:f"), anchored(Scope::issuer, "account_key", {"credential:f"}));
    CPPUNIT_ASSERT_EQUAL(std::string("environment:F"), anchored(Scope::issuer, "secret", {"environment:F"}));
    CPPUNIT_ASSERT_EQUAL(std::string("* ns credential:f"), anchored(Scope::global, "dns_update", {"*", "ns", "credential:f"}));
    CPPUNIT_ASSERT_EQUAL(std::string("off"), anchored(Scope::issuer, "state_path", {"off"}));
    CPPUNIT_ASSERT_EQUAL(std::string("state"), anchored(Scope::global, "state_path", {"state"}));
  }

  void the_reference_page_is_the_one_committed() {
    CPPUNIT_ASSERT_EQUAL(options_reference(), content_of(root + "/docs/reference/options.md"));
  }

  void the_schema_knows_exactly_the_options() {
    const nlohmann::json schema = nlohmann::json::parse(content_of(root + "/conf/evercert.schema.json"));
    std::set<std::string> global = names_of(Scope::global);
    global.insert({"$schema", "issuers", "certificates"});
    CPPUNIT_ASSERT(global == members_of(schema));
    CPPUNIT_ASSERT(names_of(Scope::issuer) == members_of(schema.at("$defs").at("issuer")));
    CPPUNIT_ASSERT(names_of(Scope::certificate) == members_of(schema.at("$defs").at("certificate")));
    for (const auto& object : {schema, schema.at("$defs").at("issuer"), schema.at("$defs").at("certificate")})
      CPPUNIT_ASSERT_EQUAL(false, object.at("additionalProperties").get<bool>());
  }

  void options_are_spelled_as_each_server_spells_them() {
    const Option& path = *find_option(Scope::global, "state_path");
    CPPUNIT_ASSERT_EQUAL(std::string("evercert_state_path"), spell(path, Spelling::nginx));
    CPPUNIT_ASSERT_EQUAL(std::string("EvercertStatePath"), spell(path, Spelling::apache));
    CPPUNIT_ASSERT_EQUAL(std::string("uri"), spell(*find_option(Scope::issuer, "uri"), Spelling::nginx));
    CPPUNIT_ASSERT(Spelling::json == spelling_of("nginx/1.22.1", {"/etc/evercert.json", 1}));
    CPPUNIT_ASSERT(Spelling::nginx == spelling_of("nginx/1.22.1", {"/etc/nginx.conf", 1}));
    CPPUNIT_ASSERT(Spelling::apache == spelling_of("Apache/2.4.57", {"/etc/apache2/apache2.conf", 1}));
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(OptionsTest);

}  // namespace evercert::test
