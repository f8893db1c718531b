#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "agent/store/import_ledger.h"
#include "evercert/descriptor.h"
#include "store_fixture.h"

namespace evercert::test {

class StoreLedgerTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(StoreLedgerTest);
  CPPUNIT_TEST(what_was_added_is_known_to_the_next_that_opens_it);
  CPPUNIT_TEST(a_line_that_a_kill_has_torn_is_left_out_and_the_next_stands_alone);
  CPPUNIT_TEST(another_ca_under_the_same_name_begins_anew);
  CPPUNIT_TEST(others_cannot_read_it);
  CPPUNIT_TEST_SUITE_END();

  TemporaryDirectory directory_;
  const Descriptor state_{open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  const std::string file_ = directory_.path() + "/imports/bought.jsonl";

  ImportLedger opened(const std::string& uri = "https://ca.test/") {
    auto ledger = ImportLedger::open(state_.get(), "bought", uri);
    CPPUNIT_ASSERT_MESSAGE(ledger ? "" : ledger.error().message, ledger.has_value());
    return std::move(*ledger);
  }

 public:
  void what_was_added_is_known_to_the_next_that_opens_it() {
    auto ledger = opened();
    CPPUNIT_ASSERT(ledger.add("4711", "a.test", {"0a:1b", "digest", 1'800'000'000}).has_value());
    const auto again = opened();
    CPPUNIT_ASSERT(again.find("4712") == nullptr);
    const auto* known = again.find("4711");
    CPPUNIT_ASSERT(known != nullptr && known->version == "0a:1b" && known->key == "digest");
    CPPUNIT_ASSERT_EQUAL(std::int64_t{1'800'000'000}, known->not_after);
  }

  void a_line_that_a_kill_has_torn_is_left_out_and_the_next_stands_alone() {
    CPPUNIT_ASSERT(opened().add("1", "a.test", {"", "one", 1}).has_value());
    std::ofstream(file_, std::ios::app) << R"({"order":"2","key":"tw)";
    auto ledger = opened();
    CPPUNIT_ASSERT(ledger.find("1") != nullptr && ledger.find("2") == nullptr);
    CPPUNIT_ASSERT(ledger.add("3", "c.test", {"", "three", 3}).has_value());
    const auto again = opened();
    CPPUNIT_ASSERT(again.find("1") != nullptr && again.find("2") == nullptr && again.find("3") != nullptr);
  }

  void another_ca_under_the_same_name_begins_anew() {
    CPPUNIT_ASSERT(opened().add("1", "a.test", {"", "one", 1}).has_value());
    CPPUNIT_ASSERT(opened("https://other.test/").find("1") == nullptr);
    CPPUNIT_ASSERT(opened().find("1") == nullptr);
  }

  void others_cannot_read_it() {
    opened();
    struct stat facts {};
    CPPUNIT_ASSERT_EQUAL(0, ::stat(file_.c_str(), &facts));
    CPPUNIT_ASSERT_EQUAL(0600U, facts.st_mode & 0777U);
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(StoreLedgerTest);

}  // namespace evercert::test
