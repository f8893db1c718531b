// check(): what is odd about names, and how options are told. Every complaint has its test.
#include "unit/config_fixture.h"

namespace evercert::test {

namespace {

// An issuer that the world may trust.
std::string public_issuer(const std::string& certificates) {
  return "{ \"issuers\": { \"ca\": { \"uri\": \"https://acme.ca-of-the-world.com/directory\", \"accept_terms_of_service\": "
         "true } },\n"
         "\"certificates\": [" +
         certificates + "] }";
}

Checked as_nginx(const std::string& certificates) {
  Settings settings = settings_of(document("", certificates));
  const auto given = set(settings.global, Scope::global, "server", std::vector<std::string>{"nginx/1.22.1"}, {});
  CPPUNIT_ASSERT(given.has_value());
  MadeUpFiles files;
  return checked(settings, files);
}

}  // namespace

class NamesCheckTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(NamesCheckTest);
  CPPUNIT_TEST(names_that_nobody_owns_are_told_where_the_issuer_is_public);
  CPPUNIT_TEST(addresses_that_nobody_is_reached_by_are_told);
  CPPUNIT_TEST(a_private_issuer_may_issue_for_anything);
  CPPUNIT_TEST(an_address_that_no_host_has_is_refused);
  CPPUNIT_TEST(a_server_name_in_another_script_is_told_with_what_clients_send);
  CPPUNIT_TEST(a_certificate_without_a_name_of_its_server_is_told);
  CPPUNIT_TEST(no_certificate_at_all_is_told);
  CPPUNIT_TEST(options_are_told_as_the_server_spells_them);
  CPPUNIT_TEST(words_that_only_look_like_options_stay);
  CPPUNIT_TEST_SUITE_END();

  void names_that_nobody_owns_are_told_where_the_issuer_is_public() {
    for (const char* name : {"localhost", "intranet", "a.test", "b.example", "printer.local", "x.home.arpa", "*.a.internal"}) {
      const Checked result = checked(public_issuer(std::string("{\"identifiers\": [\"www.real.com\", \"") + name + "\"]}"));
      const std::string all = all_of(result);
      CPPUNIT_ASSERT_MESSAGE(all, all.find("no publicly trusted CA issues for it (issuer ca)") != std::string::npos);
      CPPUNIT_ASSERT_MESSAGE(all, all.find("localhost is below") == std::string::npos);
    }
    CPPUNIT_ASSERT(
        checked(public_issuer(R"({"identifiers": ["www.real.com", "example.com", "test.org"]})")).complaints.empty());
  }

  void addresses_that_nobody_is_reached_by_are_told() {
    for (const char* address : {"127.0.0.1", "192.0.2.1", "10.1.2.3", "172.31.255.1", "192.168.1.1", "169.254.1.1", "::1",
                                "fe80::1", "fd00::1", "2001:db8::1", "100.127.0.1", "250.1.1.1"}) {
      const Checked result = checked(public_issuer(std::string("{\"name\": \"it\", \"identifiers\": \"") + address + "\"}"));
      assert_warning(result, "identifiers", 2, "no publicly trusted CA");
    }
    for (const char* address : {"172.32.0.1", "100.128.0.1", "9.9.9.9", "2606:4700::1", "192.0.3.1"})
      CPPUNIT_ASSERT_MESSAGE(
          address,
          checked(public_issuer(std::string("{\"name\": \"it\", \"identifiers\": \"") + address + "\"}")).complaints.empty());
  }

  void a_private_issuer_may_issue_for_anything() {
    CPPUNIT_ASSERT(checked(document("", R"({"identifiers": ["localhost", "a.test", "127.0.0.1"]})")).complaints.empty());
  }

  void an_address_that_no_host_has_is_refused() {
    for (const char* address : {"0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1"})
      assert_error(checked(document("", std::string("{\"name\": \"it\", \"identifiers\": \"") + address + "\"}")),
                   "identifiers", 3, "no address that a host can have");
  }

  void a_server_name_in_another_script_is_told_with_what_clients_send() {
    assert_warning(as_nginx("{\"server_names\": [\"gr\xc3\xbc\xc3\x9f"
                            "e.example\", \"a.example\"]}"),
                   "server_names", 3, "write xn--gre-6ka8l.example in its place");
    CPPUNIT_ASSERT(as_nginx(R"({"server_names": ["xn--gre-6ka8l.example"]})").complaints.empty());
  }

  void a_certificate_without_a_name_of_its_server_is_told() {
    assert_warning(as_nginx(R"({"server_names": ["a.example", "_"], "identifiers": "b.example"})"), "identifiers", 3,
                   "no name of this server (a.example) is in this certificate (b.example)");
    for (const char* fine :
         {R"({"server_names": ["a.example"], "identifiers": ["b.example", "a.example"]})",
          R"({"server_names": ["~^a"], "identifiers": "b.example"})", R"({"server_names": ["_"], "identifiers": "b.example"})",
          R"({"server_names": [], "identifiers": "b.example"})"})
      CPPUNIT_ASSERT_MESSAGE(fine, as_nginx(fine).complaints.empty());
  }

  void no_certificate_at_all_is_told() {
    assert_warning(checked(document("", " ")), "", 1, "no certificate is named");
    CPPUNIT_ASSERT(as_nginx(" ").complaints.empty());
  }

  void options_are_told_as_the_server_spells_them() {
    const Place nginx{"/etc/nginx/nginx.conf", 1};
    const struct {
      const char* text;
      const char* nginx;
      const char* apache;
    } rows[] = {
        {"set http_port if 80 is forwarded", "set evercert_http_port if 80 is forwarded",
         "set EvercertHttpPort if 80 is forwarded"},
        {"write accept_terms_of_service, too", "write accept_terms_of_service, too", "write EvercertAcceptTermsOfService, too"},
        {"installed there (option program)", "installed there (option evercert_program)",
         "installed there (option EvercertProgram)"},
        {"see proof_address.", "see evercert_proof_address.", "see EvercertProofAddress."},
        {"the option \"uri\" is odd", "the option \"uri\" is odd", "the option \"EvercertUri\" is odd"},
    };
    for (const auto& [text, in_nginx, in_apache] : rows) {
      CPPUNIT_ASSERT_EQUAL(std::string(in_nginx), spelled(text, "nginx/1.22.1"));
      CPPUNIT_ASSERT_EQUAL(std::string(in_nginx), spelled(in_nginx, "nginx/1.22.1", nginx));
      CPPUNIT_ASSERT_EQUAL(std::string(in_apache), spelled(text, "Apache/2.4.57"));
      CPPUNIT_ASSERT_EQUAL(std::string(in_apache), spelled(in_apache, "Apache/2.4.57"));
      CPPUNIT_ASSERT_EQUAL(std::string(text), spelled(text, "HAProxy version 2.6"));
      CPPUNIT_ASSERT_EQUAL(std::string(text), spelled(text, ""));
      CPPUNIT_ASSERT_EQUAL(std::string(text), spelled(text, "nginx/1.22.1", {"/etc/evercert.json", 3}));
    }
    CPPUNIT_ASSERT_EQUAL(std::string("\"evercert_program\" takes one word; write: evercert_program PATH"),
                         spelled("\"program\" takes one word; write: program PATH", "nginx", nginx, Scope::global, "program"));
    CPPUNIT_ASSERT_EQUAL(std::string("state_path off; kept in the global evercert_state_path"),
                         spelled("state_path off; kept in the global state_path", "nginx", nginx, Scope::issuer, "state_path"));
    CPPUNIT_ASSERT_EQUAL(std::string("state_path is a place to import from"),
                         spelled("state_path is a place to import from", "nginx", nginx, Scope::issuer));
  }

  void words_that_only_look_like_options_stay() {
    for (const char* text : {"/etc/evercert/account_key.pem is gone", "the proof of the order", "https://ca/http_port/x",
                             "evercert_http_port", "my_http_port", "http_port=80", "$account_key"})
      CPPUNIT_ASSERT_EQUAL(std::string(text), spelled(text, "Apache/2.4.57"));
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(NamesCheckTest);

}  // namespace evercert::test
