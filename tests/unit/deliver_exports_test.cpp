// Exports: files, what follows them, and what is done about failures.
#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>

#include "agent/deliver/exports.h"
#include "agent/store/bundles.h"
#include "agent/store/file_store.h"
#include "deliver_stub.h"
#include "fake/kept_log.h"
#include "fake/leader_of_tests.h"
#include "serving/certificate/pem.h"
#include "serving/certificate/placeholder.h"
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
  CPPUNIT_TEST(what_others_wrote_stays_until_it_is_moved_away);
  CPPUNIT_TEST(what_an_earlier_release_exported_is_ours);
  CPPUNIT_TEST(what_was_exported_long_ago_is_ours);
  CPPUNIT_TEST(a_stand_in_of_no_name_is_replaced);
  CPPUNIT_TEST(what_cannot_be_read_is_not_ours);
  CPPUNIT_TEST(a_newer_generation_takes_the_place_of_one_that_fails);
  CPPUNIT_TEST_SUITE_END();

 private:
  const TemporaryDirectory folder_;
  const LittleCa ca_;
  const std::unique_ptr<Store> store_ = make_store();
  const SystemClock clock_{};
  KeptLog log_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> outcomes_;

  std::unique_ptr<Store> make_store() const {
    std::filesystem::create_directories(folder_ / "state");
    return make_file_store(Descriptor(::open((folder_ / "state").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
                           leader_of_tests(), {});
  }

  ExportSpec wanted(const std::string& directory = "pem") {
    ExportSpec spec;
    spec.written = "export_path in evercert.json:7";
    spec.path = folder_ / directory;
    if (directory == "pem") std::filesystem::create_directories(spec.path);
    return spec;
  }

  std::unique_ptr<Exports> exports(const ExportSpec& spec) {
    auto plan = std::make_shared<Plan>();
    plan->exports = spec;
    for (const char* const name : {"a.test", "b.test", "both.test"}) plan->certificates.emplace_back().name = name;
    return std::make_unique<Exports>(
        plan, *store_, fixed_keys().serving, clock_, [](const std::function<void()>& action) { action(); }, log_);
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

  void what_others_wrote_stays_until_it_is_moved_away() {
    const ExportSpec spec = wanted();
    const auto foreign = pem_of(make_bundle("a.test", ca_).pairs.front());
    CPPUNIT_ASSERT(foreign.has_value());
    write_bytes(spec.path + "/a.test.pem", foreign->view());
    write_bytes(spec.path + "/b.test.pem", bytes_of("a note of the operator's"));
    write_bytes(spec.path + "/both.test.pem.rsa", {});
    auto to = exports(spec);
    give(*to, make_bundle("a.test", ca_));
    says("/pem/a.test.pem was not written by evercert and stays as it is (export_path in evercert.json:7); move it away",
         outcome());
    CPPUNIT_ASSERT_EQUAL(std::string(foreign->text()), text_of("a.test.pem"));
    std::filesystem::rename(spec.path + "/a.test.pem", spec.path + "/a.test.pem.before");
    until([&] { return std::filesystem::exists(spec.path + "/a.test.pem"); });
    auto again = exports(spec);
    give(*again, make_bundle("b.test", ca_));
    until([&] { return log_.all().find("/pem/b.test.pem was not written by evercert") != std::string::npos; });
    CPPUNIT_ASSERT_EQUAL(std::string("a note of the operator's"), text_of("b.test.pem"));
    // Nobody's.
    give(*again, make_bundle("both.test", ca_, {{KeyAlgorithm::ecdsa, 256}, {KeyAlgorithm::rsa, 2048}}));
    until([&] { return text_of("both.test.pem.rsa").starts_with("-----BEGIN"); });
  }

  void what_an_earlier_release_exported_is_ours() {
    const ExportSpec spec = wanted();
    const Bundle older = make_bundle("a.test", ca_);
    const Bundle newer = make_bundle("a.test", ca_);
    const auto text = pem_of(older.pairs.front());
    CPPUNIT_ASSERT(text.has_value() && publish_bundle(*store_, fixed_keys().serving, older, clock_.now()).has_value());
    write_bytes(spec.path + "/a.test.pem", text->view());
    auto to = exports(spec);
    give(*to, newer);
    CPPUNIT_ASSERT_EQUAL(std::string("done"), outcome());
    CPPUNIT_ASSERT(text_of("a.test.pem") != text->text());
  }

  void what_was_exported_long_ago_is_ours() {
    const ExportSpec spec = wanted();
    {
      auto to = exports(spec);
      give(*to, make_bundle("a.test", ca_));
      CPPUNIT_ASSERT_EQUAL(std::string("done"), outcome());
    }
    const std::string old = text_of("a.test.pem");
    auto to = exports(spec);
    give(*to, make_bundle("a.test", ca_));
    CPPUNIT_ASSERT_EQUAL(std::string("done"), outcome(1));
    CPPUNIT_ASSERT(text_of("a.test.pem") != old);
    // In another directory the same file is somebody's own.
    ExportSpec other = wanted("other");
    std::filesystem::create_directories(other.path);
    write_bytes(other.path + "/a.test.pem", bytes_of(old));
    auto there = exports(other);
    give(*there, make_bundle("a.test", ca_));
    says("was not written by evercert", outcome(2));
  }

  void a_stand_in_of_no_name_is_replaced() {
    const ExportSpec spec = wanted();
    const auto pair =
        make_placeholder_pair("stand-in", {Identifier{IdentifierKind::dns, "stand-in.test"}}, KeyAlgorithm::ecdsa);
    const auto own = make_placeholder_pair("b.test", {Identifier{IdentifierKind::dns, "www.example.com"}}, KeyAlgorithm::ecdsa);
    CPPUNIT_ASSERT(pair.has_value() && own.has_value());
    write_bytes(spec.path + "/a.test.pem", pem_of(*pair)->view());
    write_bytes(spec.path + "/b.test.pem", pem_of(*own)->view());
    auto to = exports(spec);
    give(*to, make_bundle("a.test", ca_));
    CPPUNIT_ASSERT_EQUAL(std::string("done"), outcome());
    give(*to, make_bundle("b.test", ca_));
    says("b.test.pem was not written by evercert", outcome(1));
  }

  void what_cannot_be_read_is_not_ours() {
    const ExportSpec spec = wanted();
    std::filesystem::create_symlink("/dev/null", spec.path + "/a.test.pem");
    std::filesystem::create_directories(spec.path + "/b.test.pem");
    auto to = exports(spec);
    give(*to, make_bundle("a.test", ca_));
    says("was not written by evercert", outcome());
    give(*to, make_bundle("b.test", ca_));
    until([&] { return log_.all().find("/pem/b.test.pem was not written by evercert") != std::string::npos; });
    CPPUNIT_ASSERT(std::filesystem::is_symlink(spec.path + "/a.test.pem"));
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
