// check(): the global section and issuers. Every complaint has its test.
#include <openssl/err.h>
#include <openssl/pem.h>

#include "serving/base/openssl_handles.h"
#include "unit/config_fixture.h"

namespace evercert::test {

namespace {

std::string pem_of(const BioHandle& output) {
  char* text = nullptr;
  const long length = BIO_get_mem_data(output.get(), &text);
  return {text, static_cast<std::size_t>(length)};
}

std::string pem_key(EVP_PKEY* key, const char* passphrase = nullptr) {
  const BioHandle output(BIO_new(BIO_s_mem()));
  const int length = passphrase == nullptr ? 0 : static_cast<int>(std::string_view(passphrase).size());
  CPPUNIT_ASSERT_EQUAL(1, PEM_write_bio_PKCS8PrivateKey(output.get(), key, passphrase == nullptr ? nullptr : EVP_aes_128_cbc(),
                                                        passphrase, length, nullptr, nullptr));
  return pem_of(output);
}

std::string ecdsa_key(const char* curve, const char* passphrase = nullptr) {
  const KeyHandle key(EVP_EC_gen(curve));
  return pem_key(key.get(), passphrase);
}

std::string certificate() {
  const KeyHandle key(EVP_EC_gen("P-256"));
  const CertificateHandle leaf(X509_new());
  X509_gmtime_adj(X509_getm_notBefore(leaf.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(leaf.get()), 3600);
  X509_set_pubkey(leaf.get(), key.get());
  CPPUNIT_ASSERT(X509_sign(leaf.get(), key.get(), EVP_sha256()) > 0);
  const BioHandle output(BIO_new(BIO_s_mem()));
  CPPUNIT_ASSERT_EQUAL(1, PEM_write_bio_X509(output.get(), leaf.get()));
  return pem_of(output);
}

const std::string one_certificate = R"({"identifiers": "a.example"})";

Checked with_global(const std::string& members) {
  return checked(document("", one_certificate, ", " + members));
}

Checked with_issuer(const std::string& members, const std::map<std::string, std::string>& files = {}) {
  MadeUpFiles source;
  source.files = files;
  return checked(settings_of(document(", " + members, one_certificate)), source);
}

Checked with_uri(const std::string& uri) {
  return checked("{ \"issuers\": { \"ca\": {\n\"uri\": \"" + uri + "\", \"accept_terms_of_service\": true } } }");
}

IssuerSpec issuer_of(const std::string& members, const std::map<std::string, std::string>& files = {}) {
  const Checked result = with_issuer(members, files);
  CPPUNIT_ASSERT_MESSAGE(all_of(result), result.plan.has_value());
  return result.plan->issuers.at(0);
}

}  // namespace

class IssuerCheckTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(IssuerCheckTest);
  CPPUNIT_TEST(a_relative_state_path_is_refused);
  CPPUNIT_TEST(a_state_path_on_a_network_file_system_is_refused_unless_forced);
  CPPUNIT_TEST(the_agent_does_not_look_at_file_systems);
  CPPUNIT_TEST(an_unknown_second_word_of_state_path_is_refused);
  CPPUNIT_TEST(a_relative_program_is_below_the_file_and_else_refused);
  CPPUNIT_TEST(ports_and_sizes_have_their_ranges);
  CPPUNIT_TEST(a_shared_zone_is_a_warning);
  CPPUNIT_TEST(an_include_nobody_read_is_refused);
  CPPUNIT_TEST(empty_words_are_refused);
  CPPUNIT_TEST(another_type_of_issuer_is_refused);
  CPPUNIT_TEST(an_issuer_without_uri_is_blamed_at_its_first_line);
  CPPUNIT_TEST(a_uri_must_be_https_but_on_loopback);
  CPPUNIT_TEST(a_uri_with_a_password_is_refused_without_repeating_it);
  CPPUNIT_TEST(an_account_key_is_a_known_kind_or_a_file);
  CPPUNIT_TEST(an_account_key_file_must_hold_a_usable_key);
  CPPUNIT_TEST(other_challenges_are_refused);
  CPPUNIT_TEST(a_faulty_way_to_dns_counts_as_written);
  CPPUNIT_TEST(challenges_keep_the_words_of_nginx);
  CPPUNIT_TEST(switches_are_on_or_off);
  CPPUNIT_TEST(contacts_become_uris);
  CPPUNIT_TEST(what_is_no_contact_is_refused);
  CPPUNIT_TEST(an_external_account_key_is_read_from_file_or_word);
  CPPUNIT_TEST(a_bad_external_account_key_is_refused_without_repeating_it);
  CPPUNIT_TEST(a_profile_may_be_required);
  CPPUNIT_TEST(a_trusted_certificate_must_be_there_and_be_one);
  CPPUNIT_TEST(a_state_path_of_an_issuer_is_imported_from);
  CPPUNIT_TEST(state_path_off_is_refused_with_the_reason);
  CPPUNIT_TEST(terms_not_accepted_are_a_warning);
  CPPUNIT_TEST(a_proxy_has_scheme_host_port_and_maybe_a_user);
  CPPUNIT_TEST(what_is_no_proxy_is_refused);
  CPPUNIT_TEST(an_issuer_defined_twice_is_refused);
  CPPUNIT_TEST(an_issuer_has_a_plain_name);
  CPPUNIT_TEST(all_complaints_come_at_once_in_the_order_of_the_file);
  CPPUNIT_TEST(no_complaint_leaves_anything_in_openssl_s_queue);
  CPPUNIT_TEST_SUITE_END();

 public:
  void a_relative_state_path_is_refused() {
    assert_error(with_global(R"("state_path": "state")"), "state_path", 4, "no absolute path");
  }

  void a_state_path_on_a_network_file_system_is_refused_unless_forced() {
    const FileSystemProbe nfs = [](const std::string& path) -> std::optional<std::string> {
      return path == "/tmp/state" ? std::optional<std::string>("NFS") : std::nullopt;
    };
    MadeUpFiles files;
    const Settings refused = settings_of(document("", "", R"(, "state_path": "/tmp/state/")"));
    assert_error(check_with(refused, files, nfs), "state_path", 4, "network file system (NFS)");
    assert_contains(all_of(check_with(refused, files, nfs)), "state_path /tmp/state force");
    const Settings forced = settings_of(document("", "", R"(, "state_path": ["/tmp/state", "force"])"));
    CPPUNIT_ASSERT_EQUAL(std::string("/tmp/state"), check_with(forced, files, nfs).plan->state_path);
    const Settings local = settings_of(document("", "", R"(, "state_path": "/tmp/local")"));
    CPPUNIT_ASSERT(check_with(local, files, nfs).plan.has_value());
  }

  void the_agent_does_not_look_at_file_systems() {
    MadeUpFiles files;
    const Settings settings = settings_of(document("", "", R"(, "state_path": "/no/such/place")"));
    CPPUNIT_ASSERT(check(settings, files, false).plan.has_value());
    CPPUNIT_ASSERT(!check(settings, files, true).plan.has_value());
  }

  void an_unknown_second_word_of_state_path_is_refused() {
    assert_error(with_global(R"("state_path": ["/s", "forced"])"), "state_path", 4, "PATH [force]");
  }

  void a_relative_program_is_below_the_file_and_else_refused() {
    CPPUNIT_ASSERT_EQUAL(std::string("/etc/evercert/evercert"), with_global(R"("program": "evercert")").plan->program);
    Settings settings;
    MadeUpFiles files;
    CPPUNIT_ASSERT(set(settings.global, Scope::global, "program", std::vector<std::string>{"evercert"}, {"nginx.conf", 3}));
    assert_error(checked(settings, files), "program", 3, "no absolute path");
  }

  void ports_and_sizes_have_their_ranges() {
    assert_error(with_global(R"("http_port": 0)"), "http_port", 4, "from 1 to 65535");
    assert_error(with_global(R"("tls_port": 65536)"), "tls_port", 4, "from 1 to 65535");
    assert_error(with_global(R"("cache_size": 1.5)"), "cache_size", 4, "is not a whole number");
    assert_error(with_issuer(R"("max_orders": 0)"), "max_orders", 2, "from 1 to 1000");
    const Checked good = with_global(R"("http_port": 5002, "tls_port": 5001, "cache_size": 7)");
    CPPUNIT_ASSERT(good.plan->http_port == 5002 && good.plan->tls_port == 5001 && good.plan->cache_size == 7);
  }

  void a_shared_zone_is_a_warning() {
    assert_warning(with_global(R"("shared_zone": "zone=a:1m")"), "shared_zone", 4, "can be removed");
  }

  void an_include_nobody_read_is_refused() {
    Settings settings;
    MadeUpFiles files;
    CPPUNIT_ASSERT(set(settings.global, Scope::global, "include", std::vector<std::string>{"/a.json"}, {"nginx.conf", 3}));
    assert_error(checked(settings, files), "include", 3, "was not read");
  }

  void empty_words_are_refused() {
    assert_error(with_global(R"("agent_user": "")"), "agent_user", 4, "is empty");
    assert_error(with_issuer(R"("preferred_chain": "")"), "preferred_chain", 2, "is empty");
    assert_error(with_issuer(R"("profile": "")"), "profile", 2, "is empty");
  }

  void another_type_of_issuer_is_refused() {
    assert_error(with_issuer(R"("type": "acmee")"), "type", 2, "write type acme, certinext, sectigo, ssl_store or digicert");
    CPPUNIT_ASSERT_EQUAL(std::string("acme"), issuer_of(R"("type": "acme")").type);
  }

  void an_issuer_without_uri_is_blamed_at_its_first_line() {
    assert_error(checked("{ \"issuers\": {\n \"ca\": {\n \"accept_terms_of_service\": true } } }"), "uri", 2,
                 "issuer \"ca\" has no uri");
  }

  void a_uri_must_be_https_but_on_loopback() {
    for (const char* const good : {"https://ca.example/directory", "HTTPS://ca.example", "https://[2001:db8::1]:14000/dir",
                                   "http://127.0.0.1:14000/dir", "http://localhost/dir", "http://[::1]:1/dir"})
      CPPUNIT_ASSERT_MESSAGE(good, with_uri(good).plan.has_value());
    assert_error(with_uri("http://ca.example/directory"), "uri", 2, "plain http");
    assert_error(with_uri("http://127.ca.example/"), "uri", 2, "plain http");
    assert_error(with_uri("ftp://ca.example/"), "uri", 2, "no https URI");
    assert_error(with_uri("ca.example/directory"), "uri", 2, "no absolute URI");
    assert_error(with_uri("https:///directory"), "uri", 2, "host and port");
    assert_error(with_uri("https://ca.example:99999/"), "uri", 2, "host and port");
    assert_error(with_uri("https://[::1/"), "uri", 2, "host and port");
    assert_error(with_uri("https://ca.example/ x"), "uri", 2, "white space");
    assert_error(with_uri("https://ca.example/#x"), "uri", 2, "fragment");
    assert_error(with_uri(""), "uri", 2, "no absolute URI");
  }

  void a_uri_with_a_password_is_refused_without_repeating_it() {
    const Checked result = with_uri("https://user:hunter2@ca.example/");
    assert_error(result, "uri", 2, "password");
    CPPUNIT_ASSERT(all_of(result).find("hunter2") == std::string::npos);
  }

  void an_account_key_is_a_known_kind_or_a_file() {
    CPPUNIT_ASSERT_EQUAL(std::string("rsa:2048"), issuer_of(R"("account_key": "rsa")").account_key.text());
    CPPUNIT_ASSERT_EQUAL(std::string("ecdsa:384"), issuer_of(R"("account_key": "ecdsa:384")").account_key.text());
    assert_error(with_issuer(R"("account_key": "ed25519")"), "account_key", 2, "no known kind of key");
    assert_error(with_issuer(R"("account_key": "rsa:1024")"), "account_key", 2, "no rsa key of size \"1024\"");
    assert_error(with_issuer(R"("account_key": "ecdsa:")"), "account_key", 2, "no known kind of key");
    const IssuerSpec spec = issuer_of(R"("account_key": "a.key")", {{"/etc/evercert/a.key", ecdsa_key("P-384")}});
    CPPUNIT_ASSERT_EQUAL(std::string("ecdsa:384"), spec.account_key.text());
    CPPUNIT_ASSERT(!spec.account_key_pem.empty());
  }

  void an_account_key_file_must_hold_a_usable_key() {
    const std::string member = R"("account_key": "a.key")";
    const std::string path = "/etc/evercert/a.key";
    assert_error(with_issuer(member), "account_key", 2, "cannot read " + path);
    assert_error(with_issuer(member, {{path, "nonsense"}}), "account_key", 2, "no private key in PEM");
    assert_error(with_issuer(member, {{path, ""}}), "account_key", 2, "no private key in PEM");
    assert_error(with_issuer(member, {{path, ecdsa_key("P-256", "secret")}}), "account_key", 2, "without a passphrase");
    assert_error(with_issuer(member, {{path, ecdsa_key("secp256k1")}}), "account_key", 2, "cannot sign for an account");
    const KeyHandle ed25519(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    assert_error(with_issuer(member, {{path, pem_key(ed25519.get())}}), "account_key", 2, "cannot sign for an account");
    const KeyHandle rsa(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{1024}));
    assert_error(with_issuer(member, {{path, pem_key(rsa.get())}}), "account_key", 2, "RSA of at least 2048 bits");
  }

  void other_challenges_are_refused() {
    assert_error(with_issuer(R"("challenge": "dns-01")"), "challenge", 2, "add dns_update or dns_program");
    assert_error(with_issuer(R"("challenge": "tls-alpn-01")"), "challenge", 2, "this release answers http-01 and dns-01 only");
    assert_error(with_issuer(R"("challenge": "tls-alpn")"), "challenge", 2, "not tls-alpn-01");
    assert_error(with_issuer(R"("challenge": "dns")"), "challenge", 2, "no kind of challenge");
    CPPUNIT_ASSERT(issuer_of(R"("challenge": "http")").challenge == ChallengeKind::http_01);
  }

  void a_faulty_way_to_dns_counts_as_written() {
    const auto with_dns = [](const std::string& line) {
      return checked(document(R"(, "challenge": "dns-01")", "", ",\n" + line));
    };
    assert_error(with_dns(R"("dns_update": ["*", "127.0.0.1", "/missing.key"])"), "dns_update", 5, "cannot read /missing.key");
    assert_error(with_dns(R"("dns_update": ["*", "127.0.0.1:99999", "/any.key"])"), "dns_update", 5, "dns_update: ");
  }

  void challenges_keep_the_words_of_nginx() {
    CPPUNIT_ASSERT(issuer_of(R"("challenge": "http-01")").challenge == ChallengeKind::http_01);
  }

  void switches_are_on_or_off() {
    CPPUNIT_ASSERT(!issuer_of(R"("ssl_verify": false)").verify);
    CPPUNIT_ASSERT(issuer_of(R"("common_name_in_csr": true)").common_name_in_csr);
    assert_contains(refusal_of(R"({"proof": "off"})"), "\"proof\" is a string; write true or false, without quotes");
    Settings settings = settings_of(document("", "", ""));
    CPPUNIT_ASSERT(set(settings.global, Scope::global, "proof", std::vector<std::string>{"maybe"}, {"server.conf", 4}));
    MadeUpFiles files;
    assert_error(checked(settings, files), "proof", 4, "neither on nor off");
  }

  void contacts_become_uris() {
    const auto contacts = issuer_of(R"("contact": ["a@b.c", "mailto:d@e.f", "tel:+49123", "a@b.c"])").contacts;
    CPPUNIT_ASSERT(contacts == (std::vector<std::string>{"mailto:a@b.c", "mailto:d@e.f", "tel:+49123"}));
  }

  void what_is_no_contact_is_refused() {
    for (const char* const bad :
         {"", "ops", "@b.c", "a@", "mailto:", "mailto:a@b.c,d@e.f", "a@b.c?subject=x", "a b@c.d", "a b:c"})
      assert_error(with_issuer(std::string(R"("contact": [")") + bad + "\"]"), "contact", 2, "contact: ");
  }

  void an_external_account_key_is_read_from_file_or_word() {
    const auto key_of = [](const IssuerSpec& spec) { return std::string(spec.external_account->hmac_key.text()); };
    const std::map<std::string, std::string> files = {{"/etc/evercert/hmac", " c2Vj\r\ncmV0\n"}};
    CPPUNIT_ASSERT_EQUAL(std::string("secret"), key_of(issuer_of(R"("external_account_key": ["k", "hmac"])", files)));
    CPPUNIT_ASSERT_EQUAL(std::string("secret"), key_of(issuer_of(R"("external_account_key": ["k", "data:c2VjcmV0"])")));
    CPPUNIT_ASSERT_EQUAL(std::string("\xfb\xff\xfe"), key_of(issuer_of(R"("external_account_key": ["k", "data:+//+"])")));
    CPPUNIT_ASSERT_EQUAL(std::string("\xfb\xff"), key_of(issuer_of(R"("external_account_key": ["k", "data:-_8="])")));
  }

  void a_bad_external_account_key_is_refused_without_repeating_it() {
    const auto refused = [](const std::string& words, const std::string& part,
                            const std::map<std::string, std::string>& files = {}) {
      const Checked result = with_issuer("\"external_account_key\": " + words, files);
      assert_error(result, "external_account_key", 2, part);
      CPPUNIT_ASSERT(all_of(result).find("hunter2") == std::string::npos);
    };
    refused(R"(["", "data:AAAA"])", "key identifier is empty");
    refused(R"(["a b", "data:AAAA"])", "white space");
    refused(R"(["k", "data:hunter2!"])", "not base64url");
    refused(R"(["k", "data:"])", "is empty");
    refused(R"(["k", "gone"])", "cannot read /etc/evercert/gone");
    refused(R"(["k", "key"])", "/etc/evercert/key: the HMAC key is not base64url", {{"/etc/evercert/key", "hunter2!"}});
  }

  void a_profile_may_be_required() {
    CPPUNIT_ASSERT(!issuer_of(R"("profile": "short")").profile->required);
    CPPUNIT_ASSERT(issuer_of(R"("profile": ["short", "require"])").profile->required);
    assert_error(with_issuer(R"("profile": ["short", "required"])"), "profile", 2, "NAME [require]");
  }

  void a_trusted_certificate_must_be_there_and_be_one() {
    const std::string member = R"("ssl_trusted_certificate": "ca.pem")";
    const std::string path = "/etc/evercert/ca.pem";
    CPPUNIT_ASSERT(!issuer_of(member, {{path, "some words\n" + certificate()}}).trusted_certificates_pem.empty());
    assert_error(with_issuer(member), "ssl_trusted_certificate", 2, "cannot read " + path);
    assert_error(with_issuer(member, {{path, ecdsa_key("P-256")}}), "ssl_trusted_certificate", 2, "holds no PEM certificate");
    assert_error(with_issuer(member, {{path, ""}}), "ssl_trusted_certificate", 2, "holds no PEM certificate");
  }

  void a_state_path_of_an_issuer_is_imported_from() {
    CPPUNIT_ASSERT_EQUAL(std::string("/etc/evercert/acme"), issuer_of(R"("state_path": "acme")").import_path);
  }

  void state_path_off_is_refused_with_the_reason() {
    assert_error(with_issuer(R"("state_path": "off")"), "state_path", 2, "locked out by the issuer's limits");
  }

  void terms_not_accepted_are_a_warning() {
    const std::string issuer = "{ \"issuers\": {\n\"ca\": { \"uri\": \"https://ca.example/\"";
    assert_warning(checked(issuer + "} } }"), "accept_terms_of_service", 2, "not accepted");
    assert_warning(checked(issuer + ",\n\"accept_terms_of_service\": false } } }"), "accept_terms_of_service", 3,
                   "not accepted");
    Settings settings;
    MadeUpFiles files;
    settings.issuers.push_back({"ca", {"nginx.conf", 1}, {}});
    Section& section = settings.issuers[0];
    CPPUNIT_ASSERT(set(section, Scope::issuer, "uri", std::vector<std::string>{"https://ca.example/"}, {"nginx.conf", 2}));
    CPPUNIT_ASSERT(set(section, Scope::issuer, "accept_terms_of_service", {}, {"nginx.conf", 3}));
    const Checked result = checked(settings, files);
    CPPUNIT_ASSERT_MESSAGE(all_of(result), result.complaints.empty() && result.plan->issuers[0].terms_accepted);
  }

  void a_proxy_has_scheme_host_port_and_maybe_a_user() {
    CPPUNIT_ASSERT(issuer_of(R"("proxy": "off")").proxy.uri.empty());
    CPPUNIT_ASSERT_EQUAL(std::string("socks5h://p.example:1080"),
                         issuer_of(R"("proxy": "socks5h://p.example:1080")").proxy.uri);
    const Proxy proxy =
        issuer_of(R"("proxy": ["http://p.example:3128", "me", "pass"])", {{"/etc/evercert/pass", "hunter2\r\n"}}).proxy;
    CPPUNIT_ASSERT_EQUAL(std::string("me"), proxy.user);
    CPPUNIT_ASSERT_EQUAL(std::string("hunter2"), std::string(proxy.password.text()));
  }

  void what_is_no_proxy_is_refused() {
    assert_error(with_issuer(R"("proxy": "http://p.example")"), "proxy", 2, "has no port");
    assert_error(with_issuer(R"("proxy": "p.example:3128")"), "proxy", 2, "write http://p.example:3128");
    assert_error(with_issuer(R"("proxy": "ftp://p.example:1")"), "proxy", 2, "is no proxy");
    assert_error(with_issuer(R"("proxy": ["http://p.example:1", "me"])"), "proxy", 2, "without the file of a password");
    assert_error(with_issuer(R"("proxy": ["http://p.example:1", "me", "gone"])"), "proxy", 2, "cannot read");
    assert_error(with_issuer(R"("proxy": ["http://p.example:1", "me", "f"])", {{"/etc/evercert/f", "\n"}}), "proxy", 2,
                 "is empty");
    const Checked inside = with_issuer(R"("proxy": "http://me:hunter2@p.example:1")");
    assert_error(inside, "proxy", 2, "password in it is refused");
    CPPUNIT_ASSERT(all_of(inside).find("hunter2") == std::string::npos);
  }

  void an_issuer_defined_twice_is_refused() {
    Settings settings = settings_of(document("", one_certificate));
    CPPUNIT_ASSERT(read_settings_text(
        settings, "{\"issuers\": {\n\"ca\": {\"uri\": \"https://ca.example/\", \"accept_terms_of_service\": true}}}",
        "/etc/b.json"));
    MadeUpFiles files;
    assert_error(checked(settings, files), "", 2, "issuer \"ca\" is defined twice, first at /etc/evercert/evercert.json:1");
  }

  void an_issuer_has_a_plain_name() {
    const auto named = [](const std::string& name) {
      return checked("{\"issuers\": {\"" + name +
                     "\": {\"uri\": \"https://ca.example/\", \"accept_terms_of_service\": true}}}");
    };
    CPPUNIT_ASSERT(named("My-CA_2.0").plan.has_value());
    for (const std::string& name :
         {std::string(), std::string("a,b"), std::string("a b"), std::string("../a"), std::string(65, 'a')})
      assert_error(named(name), "", 1, "cannot name an issuer");
  }

  void all_complaints_come_at_once_in_the_order_of_the_file() {
    const Checked result = checked(
        "{ \"certificates\": [ { \"identifiers\": \"a..b\",\n"
        "\"key\": \"dsa\" } ],\n"
        "\"issuers\": { \"ca\": { \"uri\": \"ca\",\n"
        "\"challenge\": \"dns-01\" } },\n"
        "\"http_port\": 0 }");
    std::string lines;
    for (const Complaint& complaint : result.complaints) lines += std::to_string(complaint.place.line) + complaint.option + " ";
    CPPUNIT_ASSERT_EQUAL(std::string("1identifiers 2key 3uri 3accept_terms_of_service 4challenge 5http_port "), lines);
    CPPUNIT_ASSERT(!result.plan);
  }

  void no_complaint_leaves_anything_in_openssl_s_queue() {
    ERR_clear_error();
    with_issuer(R"("account_key": "a.key", "ssl_trusted_certificate": "a.key")", {{"/etc/evercert/a.key", "nonsense"}});
    CPPUNIT_ASSERT_EQUAL(0UL, ERR_peek_error());
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(IssuerCheckTest);

}  // namespace evercert::test
