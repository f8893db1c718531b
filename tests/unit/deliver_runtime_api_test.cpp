// HAProxy's stats socket: what is asked in which order, and what is undone when HAProxy refuses.
#include <cppunit/extensions/HelperMacros.h>

#include "agent/deliver/runtime_api.h"
#include "deliver_stub.h"
#include "store_fixture.h"

namespace evercert::test {

using Answers = std::vector<std::pair<std::string, std::string>>;
using Commands = std::vector<std::string>;

namespace {

const std::string file = "/pem/a.test.pem";
// SHA-1 of no bytes at all, and of something else.
const std::string same = "Filename: " + file + "\nStatus: Used\nSHA1 FingerPrint: DA39A3EE5E6B4B0D3255BFEF95601890AFD80709\n";
const std::string older = "Filename: " + file + "\nStatus: Used\nSHA1 FingerPrint: 00\n";
const std::string unknown = "Can't display the certificate: Not found or the certificate is a bundle!\n";
const std::string created = "Transaction created for certificate " + file + "!\n";
const std::string none_open = "# filename\n" + file + "\n";

}  // namespace

class DeliverRuntimeApiTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(DeliverRuntimeApiTest);
  CPPUNIT_TEST(what_haproxy_has_already_is_only_looked_at);
  CPPUNIT_TEST(an_older_one_is_set_and_committed);
  CPPUNIT_TEST(a_refused_commit_is_followed_by_an_abort);
  CPPUNIT_TEST(a_refused_set_is_followed_by_an_abort);
  CPPUNIT_TEST(what_got_into_the_transaction_of_another_ends_that_one);
  CPPUNIT_TEST(no_answer_to_a_long_chain_names_the_buffer);
  CPPUNIT_TEST(beside_the_transaction_of_another_nothing_is_begun);
  CPPUNIT_TEST(a_transaction_of_ours_that_was_left_open_is_ended_first);
  CPPUNIT_TEST(a_new_one_is_made_and_added_to_the_list_of_its_directory);
  CPPUNIT_TEST(a_new_one_that_is_refused_leaves_nothing_behind);
  CPPUNIT_TEST(a_new_one_that_no_bind_would_serve_is_not_made);
  CPPUNIT_TEST(one_that_was_made_but_not_added_is_added);
  CPPUNIT_TEST(a_socket_that_is_not_there_is_a_connection_failure);
  CPPUNIT_TEST(a_master_that_cannot_reload_is_told);
  CPPUNIT_TEST_SUITE_END();

 private:
  const TemporaryDirectory folder_;
  const Secret content_ = Secret::from_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  Commands heard_;
  std::string payload_;

  std::string bring(const Answers& answers) {
    const std::string path = folder_ / "stats";
    const StatsSocketStub stub(path, answers);
    const auto done = bring_to_haproxy(path, {"/pem", "a.test.pem", {}, content_});
    heard_ = stub.heard();
    payload_ = stub.payload();
    if (done) return "done";
    CPPUNIT_ASSERT(done.error().kind == ErrorKind::internal);
    return done.error().message;
  }

  void expect(const Commands& commands) const {
    std::string wanted;
    std::string seen;
    for (const std::string& command : commands) wanted += command + "\n";
    for (const std::string& command : heard_) seen += command + "\n";
    CPPUNIT_ASSERT_EQUAL(wanted, seen);
  }

  static void says(const std::string& words, const std::string& text) {
    CPPUNIT_ASSERT_MESSAGE(text, text.find(words) != std::string::npos);
  }

 public:
  void what_haproxy_has_already_is_only_looked_at() {
    CPPUNIT_ASSERT_EQUAL(std::string("done"), bring({{"show ssl cert ", same}}));
    expect({"show ssl cert " + file});
  }

  void an_older_one_is_set_and_committed() {
    CPPUNIT_ASSERT_EQUAL(std::string("done"), bring({{"show ssl cert ", older},
                                                     {"show ssl cert\n", none_open},
                                                     {"set ssl cert", created},
                                                     {"commit", "Committing\nSuccess!\n"}}));
    expect({"show ssl cert " + file, "show ssl cert", "set ssl cert " + file + " <<", "commit ssl cert " + file});
    CPPUNIT_ASSERT_EQUAL(std::string(content_.text()) + "\n", payload_);
  }

  void a_refused_commit_is_followed_by_an_abort() {
    says("inconsistencies", bring({{"show ssl cert ", older},
                                   {"show ssl cert\n", none_open},
                                   {"set", created},
                                   {"commit", "inconsistencies between private key and certificate\n"},
                                   {"abort", "aborted\n"}}));
    CPPUNIT_ASSERT_EQUAL("abort ssl cert " + file, heard_.back());
  }

  void a_refused_set_is_followed_by_an_abort() {
    says("Can't load", bring({{"show ssl cert ", older}, {"show ssl cert\n", none_open}, {"set", "Can't load the payload\n"}}));
    expect({"show ssl cert " + file, "show ssl cert", "set ssl cert " + file + " <<", "abort ssl cert " + file});
  }

  void what_got_into_the_transaction_of_another_ends_that_one() {
    says("updated for certificate /other.pem", bring({{"show ssl cert ", older},
                                                      {"show ssl cert\n", none_open},
                                                      {"set", "Transaction updated for certificate /other.pem!\n"}}));
    CPPUNIT_ASSERT_EQUAL(std::string("abort ssl cert /other.pem"), heard_.back());
  }

  void no_answer_to_a_long_chain_names_the_buffer() {
    says("tune.bufsize", bring({{"show ssl cert ", older}, {"show ssl cert\n", none_open}, {"set", ""}}));
  }

  void beside_the_transaction_of_another_nothing_is_begun() {
    says("abort ssl cert /other.pem",
         bring({{"show ssl cert ", older}, {"show ssl cert\n", "# transaction\n*/other.pem\n# filename\n" + file + "\n"}}));
    expect({"show ssl cert " + file, "show ssl cert"});
  }

  void a_transaction_of_ours_that_was_left_open_is_ended_first() {
    CPPUNIT_ASSERT_EQUAL(std::string("done"), bring({{"show ssl cert ", older},
                                                     {"show ssl cert\n", "# transaction\n*/pem/b.test.pem\n# filename\n"},
                                                     {"abort", "Transaction aborted for certificate '/pem/b.test.pem'!\n"},
                                                     {"set", created},
                                                     {"commit", "Success!\n"}}));
    CPPUNIT_ASSERT_EQUAL(std::string("abort ssl cert /pem/b.test.pem"), heard_[2]);
  }

  void a_new_one_is_made_and_added_to_the_list_of_its_directory() {
    CPPUNIT_ASSERT_EQUAL(std::string("done"), bring({{"show ssl cert ", unknown},
                                                     {"show ssl cert\n", "# filename\n"},
                                                     {"show ssl crt-list", "/pem2\n/pem\n"},
                                                     {"new", "New empty certificate store '" + file + "'!\n"},
                                                     {"set", created},
                                                     {"commit", "Success!\n"},
                                                     {"add", "Inserting\nSuccess!\n"}}));
    expect({"show ssl cert " + file, "show ssl cert", "show ssl crt-list", "new ssl cert " + file,
            "set ssl cert " + file + " <<", "commit ssl cert " + file, "add ssl crt-list /pem " + file});
  }

  void a_new_one_that_is_refused_leaves_nothing_behind() {
    says("no way", bring({{"show ssl cert ", unknown},
                          {"show ssl cert\n", "# filename\n"},
                          {"show ssl crt-list", "/pem\n"},
                          {"new", "New empty certificate store '" + file + "'!\n"},
                          {"set", created},
                          {"commit", "no way\n"}}));
    CPPUNIT_ASSERT_EQUAL("abort ssl cert " + file, heard_[heard_.size() - 2]);
    CPPUNIT_ASSERT_EQUAL("del ssl cert " + file, heard_.back());
  }

  void a_new_one_that_no_bind_would_serve_is_not_made() {
    says("`crt /pem`",
         bring({{"show ssl cert ", unknown}, {"show ssl cert\n", "# filename\n"}, {"show ssl crt-list", "/pem2\n"}}));
    expect({"show ssl cert " + file, "show ssl cert", "show ssl crt-list"});
  }

  void one_that_was_made_but_not_added_is_added() {
    std::string unused = same;
    unused.replace(unused.find("Used"), 4, "Unused");
    CPPUNIT_ASSERT_EQUAL(std::string("done"), bring({{"show ssl cert ", unused},
                                                     {"show ssl cert\n", none_open},
                                                     {"show ssl crt-list", "/pem\n"},
                                                     {"add", "Success!\n"}}));
    expect({"show ssl cert " + file, "show ssl cert", "show ssl crt-list", "add ssl crt-list /pem " + file});
  }

  void a_socket_that_is_not_there_is_a_connection_failure() {
    const auto done = bring_to_haproxy(folder_ / "nothing", {"/pem", "a.test.pem", {}, content_});
    CPPUNIT_ASSERT(!done && done.error().kind == ErrorKind::connection);
    const auto reloaded = reload_by_master(folder_ / std::string(200, 'x'));
    CPPUNIT_ASSERT(!reloaded && reloaded.error().kind == ErrorKind::connection);
  }

  void a_master_that_cannot_reload_is_told() {
    const std::string path = folder_ / "master";
    const StatsSocketStub stub(path, {{"reload", "Success=0\n--\n[ALERT] unknown keyword\n"}, {"reload", "Success=1\n"}});
    const auto refused = reload_by_master(path);
    CPPUNIT_ASSERT(!refused && refused.error().message.find("could not reload") != std::string::npos);
    CPPUNIT_ASSERT(reload_by_master(path));
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(DeliverRuntimeApiTest);

}  // namespace evercert::test
