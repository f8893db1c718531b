#include <cppunit/extensions/HelperMacros.h>

#include "agent/issuer/caa.h"

namespace evercert {
namespace {

// RFC 8659: who may issue for a name, by the records that were found for it.
class CaaTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(CaaTest);
  CPPUNIT_TEST(without_records_everybody_may_issue);
  CPPUNIT_TEST(a_record_permits_the_ca_whatever_case_blanks_and_parameters_it_has);
  CPPUNIT_TEST(any_of_the_names_of_a_ca_is_enough);
  CPPUNIT_TEST(records_for_others_forbid_and_are_listed);
  CPPUNIT_TEST(an_empty_issuer_permits_no_ca_at_all);
  CPPUNIT_TEST(wildcards_go_by_records_of_their_own_where_there_are_some);
  CPPUNIT_TEST(records_that_are_not_about_issuing_forbid_nothing);
  CPPUNIT_TEST(a_critical_property_that_nobody_knows_forbids);
  CPPUNIT_TEST(records_that_are_cut_short_forbid_nothing);
  CPPUNIT_TEST(a_ca_that_has_no_names_is_not_looked_up_for);
  CPPUNIT_TEST_SUITE_END();

  const std::vector<std::string> ours_{"ca.example", "ca.test"};

  static DnsRecord record(const std::string& tag, const std::string& value, unsigned char flags = 0) {
    std::string data;
    data += static_cast<char>(flags);
    data += static_cast<char>(tag.size());
    return {"www.example.test", DnsType::caa, data + tag + value, 60};
  }
  [[nodiscard]] std::string objection(const std::vector<DnsRecord>& records, bool wildcard = false) const {
    return caa_objection(records, wildcard, ours_);
  }

 public:
  void without_records_everybody_may_issue() {
    CPPUNIT_ASSERT_EQUAL(std::string(), objection({}));
    CPPUNIT_ASSERT_EQUAL(std::string(), objection({}, true));
  }

  void a_record_permits_the_ca_whatever_case_blanks_and_parameters_it_has() {
    for (const char* value :
         {"ca.example", "CA.Example", "  ca.example\t", "ca.example; account=1", " ca.example ;policy=ev"}) {
      CPPUNIT_ASSERT_EQUAL_MESSAGE(value, std::string(), objection({record("ISSUE", value)}));
    }
  }

  void any_of_the_names_of_a_ca_is_enough() {
    CPPUNIT_ASSERT_EQUAL(std::string(), objection({record("issue", "other.example"), record("issue", "ca.test")}));
  }

  void records_for_others_forbid_and_are_listed() {
    const std::string why = objection({record("issue", "one.example"), record("issue", "two.example; x=y")});
    CPPUNIT_ASSERT_EQUAL(std::string("permit only one.example, two.example"), why);
    CPPUNIT_ASSERT(!objection({record("issue", "notca.example")}).empty());
    CPPUNIT_ASSERT(!objection({record("issue", "www.ca.example")}).empty());
  }

  void an_empty_issuer_permits_no_ca_at_all() {
    for (const char* value : {"", ";", "  ; account=1"}) {
      CPPUNIT_ASSERT_EQUAL_MESSAGE(value, std::string("permit no CA at all"), objection({record("issue", value)}));
    }
  }

  void wildcards_go_by_records_of_their_own_where_there_are_some() {
    const std::vector<DnsRecord> records{record("issue", "ca.example"), record("issuewild", "other.example")};
    CPPUNIT_ASSERT_EQUAL(std::string(), objection(records));
    CPPUNIT_ASSERT_EQUAL(std::string("permit only other.example"), objection(records, true));
    CPPUNIT_ASSERT_EQUAL(std::string(), objection({record("issue", "ca.example")}, true));
    // Records about wildcards alone say nothing about other names.
    CPPUNIT_ASSERT_EQUAL(std::string(), objection({record("issuewild", ";")}));
  }

  void records_that_are_not_about_issuing_forbid_nothing() {
    CPPUNIT_ASSERT_EQUAL(std::string(), objection({record("iodef", "mailto:a@example.test", 0x80), record("unheard", "x")}));
  }

  void a_critical_property_that_nobody_knows_forbids() {
    const std::string why = objection({record("issue", "ca.example"), record("unheard", "x", 0x80)});
    CPPUNIT_ASSERT(why.find("critical property \"unheard\"") != std::string::npos);
  }

  void records_that_are_cut_short_forbid_nothing() {
    for (const std::string& data : {std::string(), std::string(1, '\0'), std::string("\0\x05iss", 5)}) {
      CPPUNIT_ASSERT_EQUAL(std::string(), objection({{"www.example.test", DnsType::caa, data, 60}}));
    }
  }

  void a_ca_that_has_no_names_is_not_looked_up_for() {
    CPPUNIT_ASSERT(check_caa({}, {}, {{IdentifierKind::dns, "www.example.test"}}, {}).has_value());
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(CaaTest);

}  // namespace
}  // namespace evercert
