// check(): certificates. Every complaint has its test.
#include "unit/config_fixture.h"

namespace evercert::test {

namespace {

const std::string two_issuers =
    R"({"issuers": {"one": {"uri": "https://1.example/", "accept_terms_of_service": true},
                    "two": {"uri": "https://2.example/", "accept_terms_of_service": true}},)"
    "\n\"certificates\": [";

// Certificates on line 3 of the document; each further one may begin a new line.
Checked with(const std::string& certificates, const std::string& global = "") {
  return checked(document("", certificates, global));
}

CertificateSpec only(const std::string& certificate) {
  const Checked result = with(certificate);
  CPPUNIT_ASSERT_MESSAGE(all_of(result), result.plan.has_value());
  CPPUNIT_ASSERT_EQUAL(std::size_t{1}, result.plan->certificates.size());
  return result.plan->certificates[0];
}

std::string names_of(const CertificateSpec& certificate) {
  std::string names;
  for (const Identifier& identifier : certificate.identifiers) names += (names.empty() ? "" : " ") + identifier.value;
  return names;
}

std::string addresses_of(const CertificateSpec& certificate) {
  std::string text;
  for (const ProofAddress& address : certificate.proof_addresses)
    text += (text.empty() ? "" : " ") + address.text() + (address.proxy_protocol ? "!" : "");
  return text;
}

}  // namespace

class CertificateCheckTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(CertificateCheckTest);
  CPPUNIT_TEST(a_short_form_means_the_name_with_and_without_www_where_no_wildcard_can_be_proved);
  CPPUNIT_TEST(the_first_name_stays_first_and_names_the_certificate);
  CPPUNIT_TEST(server_names_are_used_when_no_identifiers_are_given);
  CPPUNIT_TEST(no_usable_name_is_an_error);
  CPPUNIT_TEST(a_wildcard_under_http_01_is_refused);
  CPPUNIT_TEST(a_regular_expression_is_refused_with_the_way_out);
  CPPUNIT_TEST(a_bad_name_is_refused_at_its_own_line);
  CPPUNIT_TEST(addresses_may_be_identifiers);
  CPPUNIT_TEST(the_only_issuer_is_taken);
  CPPUNIT_TEST(the_issuer_called_default_is_taken);
  CPPUNIT_TEST(several_issuers_and_no_default_is_an_error_that_names_them);
  CPPUNIT_TEST(no_issuer_at_all_shows_the_block_to_write);
  CPPUNIT_TEST(an_unknown_issuer_names_the_known_ones);
  CPPUNIT_TEST(several_issuers_keep_their_order);
  CPPUNIT_TEST(several_kinds_of_key_are_one_per_algorithm);
  CPPUNIT_TEST(two_keys_of_one_algorithm_are_refused);
  CPPUNIT_TEST(an_unknown_kind_of_key_is_refused_with_the_known_ones);
  CPPUNIT_TEST(a_name_may_be_given_and_must_be_a_file_s);
  CPPUNIT_TEST(a_first_name_too_long_for_a_file_wants_a_name);
  CPPUNIT_TEST(each_makes_one_certificate_per_name);
  CPPUNIT_TEST(each_beside_a_name_is_refused);
  CPPUNIT_TEST(more_than_a_hundred_names_are_a_warning);
  CPPUNIT_TEST(equal_certificates_are_one_and_their_addresses_are_united);
  CPPUNIT_TEST(one_name_for_two_contents_is_refused_with_the_differences);
  CPPUNIT_TEST(one_name_claimed_with_other_issuers_or_keys_is_refused);
  CPPUNIT_TEST(one_name_in_two_certificates_ordered_alike_is_well);
  CPPUNIT_TEST(proof_addresses_become_such_that_can_be_dialled);
  CPPUNIT_TEST(a_bad_proof_address_is_refused);
  CPPUNIT_TEST(global_proof_is_for_those_who_say_nothing);
  CPPUNIT_TEST(a_missing_plain_port_is_a_warning);
  CPPUNIT_TEST(any_server_block_s_plain_port_counts);
  CPPUNIT_TEST(remedies_speak_the_operator_s_own_spelling);
  CPPUNIT_TEST_SUITE_END();

 public:
  void the_first_name_stays_first_and_names_the_certificate() {
    const CertificateSpec spec = only(R"({"identifiers": ["M.example", "z.example", "a.example", "Z.example.", "m.example"]})");
    CPPUNIT_ASSERT_EQUAL(std::string("m.example a.example z.example"), names_of(spec));
    CPPUNIT_ASSERT_EQUAL(std::string("m.example"), spec.name);
    CPPUNIT_ASSERT_EQUAL(3U, spec.place.line);
  }

  void server_names_are_used_when_no_identifiers_are_given() {
    CPPUNIT_ASSERT_EQUAL(std::string("a.example b.example"),
                         names_of(only(R"({"server_names": ["_", "a.example", "", "b.example"]})")));
    CPPUNIT_ASSERT_EQUAL(std::string("c.example"),
                         names_of(only(R"({"server_names": ["~x", "*.y"], "identifiers": "c.example"})")));
  }

  void no_usable_name_is_an_error() {
    assert_error(with("\n{\"issuer\": \"ca\"}"), "", 4, "no name that a certificate could be for");
    assert_error(with("{\n\"server_names\": [\"_\", \"\"]}"), "server_names", 4, "no name that a certificate could be for");
    assert_error(with("{\n\"server_names\": []}"), "server_names", 4, "add a server name");
  }

  void a_short_form_means_the_name_with_and_without_www_where_no_wildcard_can_be_proved() {
    CPPUNIT_ASSERT_EQUAL(std::string("a.example www.a.example"), names_of(only(R"({"server_names": ".a.example"})")));
    CPPUNIT_ASSERT_EQUAL(std::string("www.a.example a.example"),
                         names_of(only(R"({"server_names": ["www.a.example", ".a.example"]})")));
    assert_error(with("{\n\"server_names\": [\".a.example\", \"*.a.example\"]}"), "server_names", 4,
                 "\"*.a.example\" is a wildcard");
  }

  void a_wildcard_under_http_01_is_refused() {
    assert_error(with("{\n\"identifiers\": [\"a.example\", \"*.a.example\"]}"), "identifiers", 4,
                 "\"*.a.example\" is a wildcard, which http-01 cannot prove (issuer ca)");
    assert_error(with("{\n\"server_names\": \"*.a.example\"}"), "server_names", 4, "\"*.a.example\" is a wildcard");
  }

  void a_regular_expression_is_refused_with_the_way_out() {
    assert_error(with(R"({"server_names": ["a.example", "~^b"]})"), "server_names", 3, "regular expression");
    assert_contains(all_of(with(R"({"server_names": ["~^b"]})")), "or name what the certificate is for yourself");
    assert_error(with(R"({"identifiers": ["~^b"]})"), "identifiers", 3, "regular expression");
  }

  void a_bad_name_is_refused_at_its_own_line() {
    assert_error(with("{\"issuer\": \"ca\",\n\"identifiers\": [\"a_b.example\"]}"), "identifiers", 4, "underscore");
  }

  void addresses_may_be_identifiers() {
    const CertificateSpec spec = only(R"({"identifiers": ["2001:DB8::1", "192.0.2.1"]})");
    CPPUNIT_ASSERT(spec.identifiers[0].kind == IdentifierKind::ip);
    CPPUNIT_ASSERT_EQUAL(std::string("2001-db8--1"), spec.name);
  }

  void the_only_issuer_is_taken() {
    CPPUNIT_ASSERT(only(R"({"identifiers": "a.example"})").issuers == std::vector<std::string>{"ca"});
  }

  void the_issuer_called_default_is_taken() {
    const Plan plan = plan_of(R"({"issuers": {"x": {"uri": "https://1.example/", "accept_terms_of_service": true},
      "default": {"uri": "https://2.example/", "accept_terms_of_service": true}}, "certificates": [{"identifiers": "a.example"}]})");
    CPPUNIT_ASSERT(plan.certificates.at(0).issuers == std::vector<std::string>{"default"});
  }

  void several_issuers_and_no_default_is_an_error_that_names_them() {
    const Checked result = checked(two_issuers + "\n{\"identifiers\": \"a.example\"}, {\"identifiers\": \"b.example\"}]}");
    assert_error(result, "", 4, "several issuers are defined (one and two) and none is called default");
  }

  void no_issuer_at_all_shows_the_block_to_write() {
    const Checked result =
        checked("{\"certificates\": [\n{\"identifiers\": \"a.example\"}, {\"identifiers\": \"b.example\"}]}");
    assert_error(result, "", 2, R"("issuers": { "default": { "uri": )");
    CPPUNIT_ASSERT(checked("{}").plan.has_value());
  }

  void an_unknown_issuer_names_the_known_ones() {
    assert_error(checked(two_issuers + "{\"identifiers\": \"a.example\",\n\"issuer\": \"three\"}]}"), "issuer", 4,
                 "issuer \"three\" is not defined; define it, or write one of: one and two");
  }

  void several_issuers_keep_their_order() {
    const Plan plan = plan_of(two_issuers + R"({"identifiers": "a.example", "issuer": ["two,one", "two"]}]})");
    CPPUNIT_ASSERT(plan.certificates.at(0).issuers == (std::vector<std::string>{"two", "one"}));
  }

  void several_kinds_of_key_are_one_per_algorithm() {
    const auto keys = only(R"({"identifiers": "a.example", "key": "rsa:3072,ecdsa"})").keys;
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, keys.size());
    CPPUNIT_ASSERT_EQUAL(std::string("rsa:3072"), keys[0].text());
    CPPUNIT_ASSERT_EQUAL(std::string("ecdsa:256"), keys[1].text());
  }

  void two_keys_of_one_algorithm_are_refused() {
    assert_error(with("{\"identifiers\": \"a.example\",\n\"key\": [\"ecdsa:256\", \"ecdsa:384\"]}"), "key", 4,
                 "ecdsa:256 and ecdsa:384 are of one algorithm");
  }

  void an_unknown_kind_of_key_is_refused_with_the_known_ones() {
    assert_error(with(R"({"identifiers": "a.example", "key": "dsa:1024"})"), "key", 3, "write ecdsa:256, ecdsa:384");
    assert_error(with(R"({"identifiers": "a.example", "key": "rsa:1024"})"), "key", 3, "no rsa key of size \"1024\"");
    assert_error(with(R"({"identifiers": "a.example", "key": ","})"), "key", 3, "key is empty");
  }

  void a_name_may_be_given_and_must_be_a_file_s() {
    CPPUNIT_ASSERT_EQUAL(std::string("shop"), only(R"({"identifiers": "a.example", "name": "Shop"})").name);
    assert_error(with("{\"identifiers\": \"a.example\",\n\"name\": \"../x\"}"), "name", 4, "cannot name a certificate");
  }

  void a_first_name_too_long_for_a_file_wants_a_name() {
    const std::string label(60, 'a');
    const std::string name = label + "." + label + "." + label + "." + label;
    assert_error(with("{\"identifiers\": \"" + name + "\"}"), "name", 3, "is too long to name a certificate");
    CPPUNIT_ASSERT_EQUAL(std::string("long"), only("{\"identifiers\": \"" + name + "\", \"name\": \"long\"}").name);
  }

  void each_makes_one_certificate_per_name() {
    const Checked result = with(R"({"identifiers": "z.example"}, {"server_names": ["b.example", "a.example"], "each": true})");
    CPPUNIT_ASSERT_MESSAGE(all_of(result), result.plan.has_value());
    CPPUNIT_ASSERT(result.certificates_of_section == (std::vector<std::vector<std::size_t>>{{0}, {1, 2}}));
    CPPUNIT_ASSERT_EQUAL(std::string("b.example"), result.plan->certificates[1].name);
    CPPUNIT_ASSERT_EQUAL(std::string("a.example"), names_of(result.plan->certificates[2]));
    Settings settings = settings_of(document("", R"({"identifiers": ["a.example", "b.example"]})"));
    CPPUNIT_ASSERT(set(settings.certificates[0], Scope::certificate, "each", {}, {"nginx.conf", 9}));
    MadeUpFiles files;
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, checked(settings, files).plan->certificates.size());
  }

  void each_beside_a_name_is_refused() {
    assert_error(with("{\"identifiers\": \"a.example\", \"each\": true,\n\"name\": \"x\"}"), "name", 4,
                 "cannot stand beside each");
  }

  void more_than_a_hundred_names_are_a_warning() {
    std::string names;
    for (int i = 0; i < 101; ++i) names += (i == 0 ? "\"n" : ", \"n") + std::to_string(i) + ".example\"";
    assert_warning(with("{\"identifiers\": [" + names + "]}"), "", 3, "\"each\": true");
    const Checked each = with("{\"each\": true, \"identifiers\": [" + names + "]}");
    CPPUNIT_ASSERT_MESSAGE(all_of(each), each.complaints.empty() && each.plan->certificates.size() == 101);
  }

  void equal_certificates_are_one_and_their_addresses_are_united() {
    const Checked result =
        with(R"({"name": "x", "identifiers": ["a.example", "b.example"], "proof_address": ["127.0.0.1:443", "127.0.0.1:8443"]},
      {"name": "x", "identifiers": ["b.example", "a.example"], "proof_address": ["127.0.0.1:8443", "127.0.0.1:9443"]})");
    CPPUNIT_ASSERT_MESSAGE(all_of(result), result.plan.has_value());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, result.plan->certificates.size());
    CPPUNIT_ASSERT_EQUAL(std::string("127.0.0.1:443 127.0.0.1:8443 127.0.0.1:9443"),
                         addresses_of(result.plan->certificates[0]));
    CPPUNIT_ASSERT(result.certificates_of_section == (std::vector<std::vector<std::size_t>>{{0}, {0}}));
  }

  void one_name_for_two_contents_is_refused_with_the_differences() {
    const std::string first = "{\"identifiers\": \"a.example\"},\n";
    assert_error(with(first + R"({"identifiers": ["a.example", "b.example"]})"), "", 4,
                 "already defined at /etc/evercert/evercert.json:3 with other names;");
    assert_error(with(first + R"({"identifiers": "a.example", "key": "rsa", "placeholder": true, "proof": false})"), "", 4,
                 "with other keys, placeholder and proof;");
    assert_error(checked(two_issuers + "{\"identifiers\": \"a.example\", \"issuer\": \"one\"},\n" +
                         R"({"identifiers": "a.example", "issuer": "two"}]})"),
                 "", 4, "with other issuers;");
  }

  void one_name_claimed_with_other_issuers_or_keys_is_refused() {
    assert_error(checked(two_issuers + "{\"identifiers\": [\"a.example\", \"c.example\"], \"issuer\": \"one\"},\n" +
                         R"({"identifiers": ["b.example", "c.example", "a.example"], "issuer": "two"}]})"),
                 "", 4, "(issuer one and key ecdsa:256 there, issuer two and key ecdsa:256 here)");
    assert_error(with("{\"identifiers\": [\"a.example\", \"c.example\"]},\n"
                      R"({"identifiers": ["b.example", "c.example"], "key": "rsa"})"),
                 "", 4, "\"c.example\" is also in the certificate of /etc/evercert/evercert.json:3");
  }

  void one_name_in_two_certificates_ordered_alike_is_well() {
    const Checked result = with(R"({"identifiers": ["a.example", "c.example"]}, {"identifiers": ["b.example", "c.example"]})");
    CPPUNIT_ASSERT_MESSAGE(all_of(result), result.complaints.empty() && result.plan->certificates.size() == 2);
  }

  void proof_addresses_become_such_that_can_be_dialled() {
    const CertificateSpec spec =
        only(R"({"identifiers": "a.example", "proof_address": ["0.0.0.0:443", "[::]:8443", "proxy_protocol",
      "192.0.2.1", "8080", "*:1", "unix:/run/a.sock", "proxy_protocol", "[2001:db8::1]:2"]})");
    CPPUNIT_ASSERT_EQUAL(
        std::string("127.0.0.1:443 [::1]:8443! 192.0.2.1:443 127.0.0.1:8080 127.0.0.1:1 unix:/run/a.sock! [2001:db8::1]:2"),
        addresses_of(spec));
  }

  void a_bad_proof_address_is_refused() {
    for (const char* const bad : {"", "127.0.0.1:0", "127.0.0.1:x", "[::1", "::1", "a b:1", "unix:", "unix:run", ":443"})
      assert_error(with(std::string("{\"identifiers\": \"a.example\",\n\"proof_address\": [\"") + bad + "\"]}"),
                   "proof_address", 4, "proof_address: ");
    assert_error(with("{\"identifiers\": \"a.example\", \"proof_address\": \"unix:/" + std::string(107, 'a') + "\"}"),
                 "proof_address", 3, "107 characters");
    assert_error(with(R"({"identifiers": "a.example", "proof_address": ["proxy_protocol"]})"), "proof_address", 3,
                 "before any address");
  }

  void global_proof_is_for_those_who_say_nothing() {
    const Checked result =
        with(R"({"identifiers": "a.example"}, {"identifiers": "b.example", "proof": true, "proof_address": "443"})",
             R"(, "proof": false, "proof_address": "8443")");
    CPPUNIT_ASSERT_MESSAGE(all_of(result), result.plan.has_value());
    CPPUNIT_ASSERT(!result.plan->certificates[0].proof && result.plan->certificates[1].proof);
    CPPUNIT_ASSERT_EQUAL(std::string("127.0.0.1:8443"), addresses_of(result.plan->certificates[0]));
    CPPUNIT_ASSERT_EQUAL(std::string("127.0.0.1:443"), addresses_of(result.plan->certificates[1]));
  }

  void a_missing_plain_port_is_a_warning() {
    const std::string certificate = R"({"identifiers": "a.example", "plain_ports": [8080]})";
    assert_warning(with(certificate), "", 3, "nothing listens for plain HTTP at port 80");
    assert_warning(with(R"({"identifiers": "a.example", "plain_ports": []})"), "", 3, "add a listener for 80");
    CPPUNIT_ASSERT(with(certificate, R"(, "http_port": 8080)").complaints.empty());
    assert_error(with(certificate, R"(, "http_port": 70000)"), "http_port", 4, "from 1 to 65535");
    const auto bought = [&](const std::string& members) {
      MadeUpFiles files;
      files.files["/s"] = "secret";
      return checked(
          settings_of(
              R"({"issuers": {"ca": {"type": "sectigo", "uri": "https://ca.example/", "account": "me", "customer": "c",)"
              R"("secret": "/s", "product": "1", "organization": "2", "term": 199)" +
              members + "}}, \"dns_program\": \"/p\",\n\"certificates\": [" + certificate + "]}"),
          files);
    };
    assert_warning(bought(""), "", 2, "nothing listens for plain HTTP at port 80, where issuers ask for validation files");
    CPPUNIT_ASSERT(bought(R"(, "challenge": "dns-txt")").complaints.empty());
  }

  void any_server_block_s_plain_port_counts() {
    CPPUNIT_ASSERT(
        with(R"({"identifiers": "a.example", "plain_ports": []}, {"identifiers": "b.example", "plain_ports": [8080, 80]})")
            .complaints.empty());
  }

  void remedies_speak_the_operator_s_own_spelling() {
    const auto complaint_of = [](const char* server) {
      Settings settings;
      CPPUNIT_ASSERT(set(settings.global, Scope::global, "server", std::vector<std::string>{server}, {"server.conf", 0}));
      settings.certificates.push_back({"", {"server.conf", 5}, {}});
      CPPUNIT_ASSERT(
          set(settings.certificates[0], Scope::certificate, "server_names", std::vector<std::string>{"a.example"}, {}));
      MadeUpFiles files;
      return all_of(checked(settings, files));
    };
    assert_contains(complaint_of("nginx/1.22.1"), "server.conf:5 [] no issuer is defined; add one: evercert_issuer default {");
    assert_contains(complaint_of("Apache/2.4.57"), "<EvercertIssuer default>");
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(CertificateCheckTest);

}  // namespace evercert::test
