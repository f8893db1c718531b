// One row for each case that a remedy knows; the CA's words are of the kind that CAs send.
#include <cppunit/extensions/HelperMacros.h>

#include "agent/observe/remedies.h"

using namespace evercert;

namespace {

Error problem(ErrorKind kind, const std::string& type, const std::string& detail = "", const std::string& link = "") {
  Error error{kind, "issuer x: " + detail};
  error.problem = std::make_shared<const Problem>(Problem{type, detail, link, {}});
  return error;
}

const std::string acme = "urn:ietf:params:acme:error:";
const std::string ours = "urn:evercert:error:";

class RemediesTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(RemediesTest);
  CPPUNIT_TEST(each_case_has_a_remedy_of_its_own);
  CPPUNIT_TEST(port_80_is_named_only_where_a_connection_to_it_failed);
  CPPUNIT_TEST(the_port_is_the_one_where_the_ca_knocks);
  CPPUNIT_TEST(network_and_resolver_are_named_only_where_no_connection_was_made);
  CPPUNIT_TEST(nothing_is_tried_again_is_said_only_where_it_is_true);
  CPPUNIT_TEST(the_parts_of_a_compound_problem_tell_the_case);
  CPPUNIT_TEST(an_unknown_case_points_at_the_words_of_the_peer);
  CPPUNIT_TEST_SUITE_END();

  static std::string remedy(const Error& error, bool by_dns = false) { return remedy_for(trouble_of(error, by_dns)); }

  void each_case_has_a_remedy_of_its_own() {
    const auto failed = ErrorKind::challenge_failed;
    const auto away = ErrorKind::connection;
    const auto wrong = ErrorKind::configuration;
    const struct {
      Error error;
      bool by_dns;
      const char* part;
    } rows[] = {
        {problem(failed, acme + "caa", "CAA record for a.example prevents issuance"), false, "A CAA record"},
        {problem(failed, acme + "dns", "DNS problem: NXDOMAIN looking up A for a.example"), false, "A or AAAA record"},
        {problem(failed, acme + "dns", "DNS problem: SERVFAIL looking up TXT"), true, "zone's name servers"},
        {problem(failed, acme + "connection", "dial tcp: lookup a.example on 127.0.0.1:53: no such host"), false,
         "finds no address"},
        {problem(failed, acme + "connection", "192.0.2.1: Fetching http://a.example/x: Connection refused"), false,
         "Nothing takes connections on port 80"},
        {problem(failed, acme + "connection", "Timeout during connect (likely firewall problem)"), false, "lost on the way"},
        {problem(failed, acme + "connection", "Error getting validation data"), false, "is answered on port 80"},
        {problem(failed, acme + "tls", "remote error: tls: handshake failure"), false, "redirects the CA to https"},
        {problem(failed, acme + "unauthorized", "Invalid response from http://a.example/x: 404"), false,
         "Another server answers"},
        {problem(failed, acme + "incorrectResponse", "The key authorization file was not valid"), false,
         "Another server answers"},
        {problem(failed, acme + "unauthorized", "No TXT record found at _acme-challenge.a.example"), true,
         "another TXT record"},
        {problem(away, ours + "unreachable", "the name in https://ca.example could not be resolved"), false, "resolver"},
        {problem(away, ours + "unreachable", "refused the connection"), false, "this host may reach the CA"},
        {problem(away, ours + "untrusted", "self-signed certificate"), false, "ssl_trusted_certificate"},
        {problem(away, ours + "notDirectory", "404"), false, "no ACME directory"},
        {problem(away, ours + "notInterface", "a web page"), false, "base address"},
        {problem(away, ours + "unencrypted"), false, "unencrypted"},
        {{away, "the proxy http://p.example:3128 did not let a connection through"}, false, "option proxy"},
        {problem(wrong, ours + "externalAccountRequired"), false, "Set external_account_key"},
        {problem(wrong, ours + "externalAccount"), false, "Compare external_account_key"},
        {problem(wrong, ours + "contact"), false, "option contact"},
        {problem(wrong, ours + "termsOfService", "", "https://ca.example/terms.pdf"), false,
         "Read https://ca.example/terms.pdf"},
        {problem(ErrorKind::action_required, acme + "userActionRequired", "terms have changed", "https://ca.example/new"),
         false, "Read https://ca.example/new"},
        {problem(ErrorKind::action_required, acme + "rateLimited", "temporarily prevented"), false, "takes the name up again"},
        {problem(ErrorKind::action_required, ours + "orderCancelled"), false, "Nothing is ordered again"},
        {problem(ErrorKind::rate_limited, acme + "rateLimited", "too many"), false, "the CA allows the next try"},
        {problem(ErrorKind::issuer_refused, acme + "rejectedIdentifier", "forbidden by policy"), false,
         "does not issue for this name"},
        {problem(ErrorKind::issuer_refused, acme + "badCSR", "weak key"), false, "another kind of key"},
    };
    for (const auto& [error, by_dns, part] : rows) {
      const std::string said = remedy(error, by_dns);
      CPPUNIT_ASSERT_MESSAGE(error.message + " -> " + said, said.find(part) != std::string::npos);
      CPPUNIT_ASSERT_MESSAGE(said, said.find('{') == std::string::npos);
    }
  }

  void port_80_is_named_only_where_a_connection_to_it_failed() {
    for (const char* word : {"caa", "dns", "tls", "unauthorized", "incorrectResponse", "rateLimited", "other"})
      for (const bool by_dns : {false, true}) {
        const std::string said = remedy(problem(ErrorKind::challenge_failed, acme + word, "because"), by_dns);
        CPPUNIT_ASSERT_MESSAGE(said, said.find("port 80") == std::string::npos);
      }
    CPPUNIT_ASSERT(remedy(problem(ErrorKind::challenge_failed, acme + "connection", "refused"), true).find("port 80") ==
                   std::string::npos);
  }

  void the_port_is_the_one_where_the_ca_knocks() {
    for (const char* detail : {"refused", "timed out", "odd"}) {
      const Error error = problem(ErrorKind::challenge_failed, acme + "connection", detail);
      const std::string elsewhere = remedy_for(trouble_of(error, false, 5002));
      CPPUNIT_ASSERT_MESSAGE(elsewhere, elsewhere.find("port 5002 (option http_port)") != std::string::npos);
      CPPUNIT_ASSERT_MESSAGE(elsewhere, elsewhere.find("80") == std::string::npos);
      CPPUNIT_ASSERT(remedy_for(trouble_of(error, false)).find("http_port") == std::string::npos);
    }
  }

  void network_and_resolver_are_named_only_where_no_connection_was_made() {
    for (const char* word : {"untrusted", "notDirectory", "notInterface", "unencrypted", "serverInternal"}) {
      const std::string said = remedy(problem(ErrorKind::connection, ours + word, "because"));
      CPPUNIT_ASSERT_MESSAGE(said, said.find("resolver") == std::string::npos && said.find("network") == std::string::npos);
    }
  }

  void nothing_is_tried_again_is_said_only_where_it_is_true() {
    CPPUNIT_ASSERT(remedy_for("held").find("nothing is ordered or replaced before that") != std::string::npos);
    for (const char* kind : {"action_required", "configuration", "issuer_refused", "connection"})
      CPPUNIT_ASSERT(remedy_for(kind).find("before that") == std::string::npos);
  }

  void the_parts_of_a_compound_problem_tell_the_case() {
    Error error{ErrorKind::challenge_failed, "several"};
    error.problem = std::make_shared<const Problem>(
        Problem{acme + "compound", "several", "", {{acme + "rejectedIdentifier", "no", "a"}, {acme + "caa", "no", "b"}}});
    CPPUNIT_ASSERT_MESSAGE(remedy(error), remedy(error).starts_with("A CAA record"));
  }

  void an_unknown_case_points_at_the_words_of_the_peer() {
    CPPUNIT_ASSERT(remedy(problem(ErrorKind::issuer_refused, acme + "malformed", "odd")).find("own words") !=
                   std::string::npos);
    CPPUNIT_ASSERT(remedy(problem(ErrorKind::challenge_failed, acme + "new", "odd")).find("in the message") !=
                   std::string::npos);
    CPPUNIT_ASSERT(remedy_for(Trouble{.kind = "export", .said = "HAProxy's socket /run/s does not answer: Permission denied"})
                       .find("agent_user") != std::string::npos);
    CPPUNIT_ASSERT(remedy_for("export").find("runtime_api") != std::string::npos);
    CPPUNIT_ASSERT(remedy_for("unheard of").find("log") != std::string::npos);
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(RemediesTest);

}  // namespace
