// Exports: files, what follows them, and what is done about failures.
#include <cppunit/extensions/HelperMacros.h>
#include <sys/stat.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>

#include "agent/deliver/exports.h"
#include "deliver_stub.h"
#include "fake/kept_log.h"
#include "serving/certificate/pem.h"
#include "store_fixture.h"

namespace evercert::test {

class DeliverExportsTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(DeliverExportsTest);
  CPPUNIT_TEST(a_certificate_becomes_one_file_for_its_readers_only);
  CPPUNIT_TEST(a_certificate_of_another_server_is_not_written);
  CPPUNIT_TEST(both_kinds_of_key_have_files_of_their_own);
  CPPUNIT_TEST(what_does_not_hold_is_never_written);
  CPPUNIT_TEST(an_expired_certificate_is_never_written);
  CPPUNIT_TEST(a_directory_that_was_missing_is_used_once_it_is_there);
  CPPUNIT_TEST(a_socket_that_was_missing_is_asked_again);
  CPPUNIT_TEST(a_master_that_could_not_reload_is_asked_again);
  CPPUNIT_TEST(what_failed_is_told_at_each_try_and_when_it_is_done);
  CPPUNIT_TEST(a_newer_generation_takes_the_place_of_one_that_fails);
  CPPUNIT_TEST_SUITE_END();

 private:
  const TemporaryDirectory folder_;
  const LittleCa ca_;
  const SystemClock clock_{};
  KeptLog log_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> outcomes_;

  ExportSpec wanted(const std::string& directory = "pem") {
    ExportSpec spec;
    spec.path = folder_ / directory;
    if (directory == "pem") std::filesystem::create_directories(spec.path);
    return spec;
  }

  std::unique_ptr<Exports> exports(const ExportSpec& spec) {
    auto plan = std::make_shared<Plan>();
    plan->exports = spec;
    for (const char* const name : {"a.test", "b.test", "both.test"}) plan->certificates.emplace_back().name = name;
    return std::make_unique<Exports>(
        plan, clock_, [](const std::function<void()>& action) { action(); }, log_);
  }

  static CertificateSpec spec_of(const Bundle& bundle) {
    CertificateSpec spec;
    spec.name = bundle.name;
    spec.identifiers = bundle.identifiers;
    for (const BundlePair& pair : bundle.pairs) spec.keys.push_back(pair.key);
    return spec;
  }

  void give(Exports& to, const Bundle& bundle) {
    to.give(spec_of(bundle), bundle, [this](const Result<Done>& result) {
      const std::lock_guard lock(mutex_);
      outcomes_.push_back(result ? "done" : result.error().message);
      changed_.notify_all();
    });
  }

  std::string outcome(std::size_t number = 0) {
    std::unique_lock lock(mutex_);
    CPPUNIT_ASSERT(changed_.wait_for(lock, std::chrono::seconds(20), [&] { return outcomes_.size() > number; }));
    return outcomes_[number];
  }

  static void until(const std::function<bool()>& enough) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!enough()) {
      CPPUNIT_ASSERT(std::chrono::steady_clock::now() < deadline);
      ::poll(nullptr, 0, 5);
    }
  }

  std::string text_of(const std::string& name) {
    const Bytes bytes = file_bytes(folder_ / ("pem/" + name));
    return {bytes.begin(), bytes.end()};
  }

  static void says(const std::string& words, const std::string& text) {
    CPPUNIT_ASSERT_MESSAGE(text, text.find(words) != std::string::npos);
  }

 public:
  void a_certificate_becomes_one_file_for_its_readers_only() {
    auto to = exports(wanted());
    give(*to, make_bundle("a.test", ca_));
    CPPUNIT_ASSERT_EQUAL(std::string("done"), outcome());
    const std::string text = text_of("a.test.pem");
    CPPUNIT_ASSERT(text.starts_with("-----BEGIN CERTIFICATE-----\n"));
    says("PRIVATE KEY-----", text);
    CPPUNIT_ASSERT(text.find("\n\n") == std::string::npos);
    struct stat facts {};
    CPPUNIT_ASSERT_EQUAL(0, ::stat((folder_ / "pem/a.test.pem").c_str(), &facts));
    CPPUNIT_ASSERT_EQUAL(0640U, facts.st_mode & 0777U);
  }

  void a_certificate_of_another_server_is_not_written() {
    auto to = exports(wanted());
    give(*to, make_bundle("elsewhere.test", ca_));
    CPPUNIT_ASSERT_EQUAL(std::string("done"), outcome());
    CPPUNIT_ASSERT(std::filesystem::is_empty(folder_ / "pem"));
  }

  void both_kinds_of_key_have_files_of_their_own() {
    auto to = exports(wanted());
    give(*to, make_bundle("both.test", ca_, {{KeyAlgorithm::ecdsa, 256}, {KeyAlgorithm::rsa, 2048}}));
    CPPUNIT_ASSERT_EQUAL(std::string("done"), outcome());
    CPPUNIT_ASSERT(!text_of("both.test.pem.ecdsa").empty() && !text_of("both.test.pem.rsa").empty());
    CPPUNIT_ASSERT(text_of("both.test.pem").empty());
  }

  void what_does_not_hold_is_never_written() {
    Bundle bundle = make_bundle("a.test", ca_);
    bundle.pairs.front().private_key = make_bundle("b.test", ca_).pairs.front().private_key;
    auto to = exports(wanted());
    give(*to, bundle);
    says("it is not exported", outcome());
    CPPUNIT_ASSERT(std::filesystem::is_empty(folder_ / "pem"));
  }

  void an_expired_certificate_is_never_written() {
    Bundle bundle = make_bundle("a.test", ca_);
    bundle.pairs = {
        ca_.issue({}, {.identifiers = bundle.identifiers, .begins = std::chrono::hours(-50), .ends = std::chrono::hours(-1)})};
    auto to = exports(wanted());
    give(*to, bundle);
    says("expired", outcome());
    CPPUNIT_ASSERT(std::filesystem::is_empty(folder_ / "pem"));
  }

  void a_directory_that_was_missing_is_used_once_it_is_there() {
    ExportSpec spec = wanted("later");
    auto to = exports(spec);
    give(*to, make_bundle("a.test", ca_));
    says("option export_path", outcome());
    std::filesystem::create_directories(spec.path);
    until([&] { return std::filesystem::exists(spec.path + "/a.test.pem"); });
  }

  void a_socket_that_was_missing_is_asked_again() {
    ExportSpec spec = wanted();
    spec.runtime_api = folder_ / "stats";
    auto to = exports(spec);
    give(*to, make_bundle("a.test", ca_));
    says("does not answer", outcome());
    says("tried again in", log_.line_with("does not answer"));
    const StatsSocketStub stub(spec.runtime_api,
                               {{"show ssl cert ", "Status: Used\nSHA1 FingerPrint: 00\n"},
                                {"show ssl cert\n", "# filename\n"},
                                {"set", "Transaction created for certificate " + spec.path + "/a.test.pem!\n"},
                                {"commit", "Success!\n"}});
    until([&] { return !stub.heard().empty() && stub.heard().back().starts_with("commit"); });
  }

  void a_master_that_could_not_reload_is_asked_again() {
    ExportSpec spec = wanted();
    spec.master_cli = folder_ / "master";
    const StatsSocketStub stub(spec.master_cli, {{"reload", "Success=0\n"}, {"reload", "Success=1\n"}});
    auto to = exports(spec);
    give(*to, make_bundle("a.test", ca_));
    says("could not reload", outcome());
    until([&] { return stub.heard().size() == 2; });
    give(*to, make_bundle("a.test", ca_));
    outcome(1);
  }

  void what_failed_is_told_at_each_try_and_when_it_is_done() {
    ExportSpec spec = wanted("later");
    auto to = exports(spec);
    give(*to, make_bundle("a.test", ca_));
    says("option export_path", outcome(0));
    says("option export_path", outcome(1));
    std::filesystem::create_directories(spec.path);
    until([&] {
      const std::lock_guard lock(mutex_);
      return outcomes_.back() == "done";
    });
  }

  void a_newer_generation_takes_the_place_of_one_that_fails() {
    ExportSpec spec = wanted("later");
    auto to = exports(spec);
    Bundle bundle = make_bundle("a.test", ca_);
    give(*to, bundle);
    outcome();
    std::filesystem::create_directories(spec.path);
    Bundle newer = make_bundle("a.test", ca_);
    newer.generation = 2;
    give(*to, newer);
    CPPUNIT_ASSERT_EQUAL(std::string("done"), outcome(1));
    const auto files = pem_files_of(spec_of(newer), newer);
    CPPUNIT_ASSERT(file_bytes(spec.path + "/a.test.pem") == bytes_of(files->front().content.text()));
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(DeliverExportsTest);

}  // namespace evercert::test
