// Certificate authorities by a word: what it stands for, what is said of one that is wrong or lacks its external account key.
#include <openssl/pem.h>

#include <fstream>
#include <set>
#include <sstream>

#include "serving/base/openssl_handles.h"
#include "serving/config/known_cas.h"
#include "serving/config/words.h"
#include "unit/config_fixture.h"

namespace evercert::test {

namespace {

const std::string some_key = "c29tZSBITUFDIGtleSBvZiB0aGlydHktdHdvIGJ5dGVz";

// The issuer begins on line 1, its uri is on line 2.
Checked with_uri(const std::string& uri, const std::string& members = "",
                 const std::map<std::string, std::string>& files = {}) {
  MadeUpFiles source;
  source.files = files;
  return checked(settings_of("{ \"issuers\": { \"ca\": {\n\"uri\": \"" + uri + "\", \"accept_terms_of_service\": true" +
                             members + " } }, \"certificates\": [ { \"identifiers\": \"www.example.com\" } ] }"),
                 source);
}

std::string with_external_account() {
  return R"(, "external_account_key": ["kid", "data:)" + some_key + "\"]";
}

std::string account_key() {
  const KeyHandle key(EVP_EC_gen("P-256"));
  const BioHandle output(BIO_new(BIO_s_mem()));
  CPPUNIT_ASSERT_EQUAL(1, PEM_write_bio_PKCS8PrivateKey(output.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr));
  char* text = nullptr;
  const long length = BIO_get_mem_data(output.get(), &text);
  return {text, static_cast<std::size_t>(length)};
}

}  // namespace

class KnownCasTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(KnownCasTest);
  CPPUNIT_TEST(a_word_stands_for_the_address_of_the_table);
  CPPUNIT_TEST(the_table_is_sound);
  CPPUNIT_TEST(an_unknown_word_is_told_the_nearest_one);
  CPPUNIT_TEST(a_word_without_an_address_says_why);
  CPPUNIT_TEST(a_ca_that_wants_an_external_account_says_where_to_get_it);
  CPPUNIT_TEST(an_account_that_may_be_there_already_needs_nothing);
  CPPUNIT_TEST(words_are_for_acme_alone);
  CPPUNIT_TEST(the_page_is_the_one_committed);
  CPPUNIT_TEST_SUITE_END();

 public:
  void a_word_stands_for_the_address_of_the_table() {
    for (const KnownCa& ca : known_cas()) {
      if (ca.directory.empty()) continue;
      const Checked result = with_uri(std::string(ca.word), ca.account.empty() ? "" : with_external_account());
      CPPUNIT_ASSERT_MESSAGE(all_of(result), result.plan.has_value() && result.complaints.empty());
      CPPUNIT_ASSERT_EQUAL(std::string(ca.directory), result.plan->issuers.at(0).uri);
    }
  }

  void the_table_is_sound() {
    std::set<std::string_view> words;
    std::set<std::string_view> directories;
    for (const KnownCa& ca : known_cas()) {
      CPPUNIT_ASSERT_MESSAGE(std::string(ca.word), words.insert(ca.word).second && may_name_ca(ca.word));
      CPPUNIT_ASSERT(!ca.title.empty() && ca.source.starts_with("https://"));
      CPPUNIT_ASSERT(ca.directory.empty() ? !ca.remark.empty() : directories.insert(ca.directory).second);
      if (!ca.directory.empty()) CPPUNIT_ASSERT(check_issuer_uri(std::string(ca.directory)).has_value());
      CPPUNIT_ASSERT_EQUAL(ca.word.ends_with("-staging"), ca.staging);
      CPPUNIT_ASSERT(!ca.remark.ends_with('.') && !ca.account.ends_with('.'));
    }
    CPPUNIT_ASSERT(!may_name_ca("https://ca.example/directory") && !may_name_ca("ca.example") && !may_name_ca(""));
    CPPUNIT_ASSERT(known_ca_at("") == nullptr);
  }

  void an_unknown_word_is_told_the_nearest_one() {
    assert_error(with_uri("letsencript"), "uri", 2,
                 "uri: \"letsencript\" is no CA that is known by a word, did you mean \"letsencrypt\"?");
    assert_error(with_uri("LETSENCRYPT"), "uri", 2, "did you mean \"letsencrypt\"?");
    assert_error(with_uri("letsencrypt_staging"), "uri", 2, "did you mean \"letsencrypt-staging\"?");
    assert_error(with_uri("somebody"), "uri", 2, "write https://HOST/PATH, or one of letsencrypt, ");
  }

  void a_word_without_an_address_says_why() {
    assert_error(with_uri("buypass"), "uri", 2, "has issued no TLS certificates since 31 October 2025; name another CA");
    assert_error(with_uri("emsign"), "uri", 2, "CERTInext shows the address");
  }

  void a_ca_that_wants_an_external_account_says_where_to_get_it() {
    for (const KnownCa& ca : known_cas()) {
      if (ca.account.empty()) continue;
      for (const std::string_view uri : {ca.word, ca.directory})
        assert_warning(with_uri(std::string(uri)), "external_account_key", 1,
                       "issuer \"ca\" has no external_account_key, without which " + std::string(ca.title) +
                           " makes no account; get a key identifier and an HMAC key " + std::string(ca.account));
    }
    // What was refused was written.
    assert_error(with_uri("zerossl", R"(, "external_account_key": ["kid", "/missing"])"), "external_account_key", 2,
                 "/missing");
  }

  void an_account_that_may_be_there_already_needs_nothing() {
    const Checked result = with_uri("zerossl", R"(, "account_key": "/account.pem")", {{"/account.pem", account_key()}});
    CPPUNIT_ASSERT_MESSAGE(all_of(result), result.complaints.empty());
  }

  void words_are_for_acme_alone() {
    const std::string members = R"(, "type": "digicert", "secret": "/secret", "product": "ssl_basic")";
    const std::map<std::string, std::string> files = {{"/secret", "key"}};
    assert_contains(all_of(with_uri("digicert", members, files)),
                    "\"digicert\" names an ACME directory, and type digicert wants the address of the CA's API");
    assert_contains(all_of(with_uri("somebody", members, files)), "\"somebody\" is no absolute URI");
  }

  void the_page_is_the_one_committed() {
    std::ifstream file(EVERCERT_TEST_DATA "/../../docs/reference/certificate-authorities.md");
    std::ostringstream text;
    text << file.rdbuf();
    CPPUNIT_ASSERT_EQUAL(authorities_reference(), text.str());
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(KnownCasTest);

}  // namespace evercert::test
