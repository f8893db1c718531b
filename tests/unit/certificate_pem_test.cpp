// Certificates as PEM files, for a server that reads nothing else.
#include <cppunit/extensions/HelperMacros.h>
#include <sys/stat.h>

#include <set>

#include "agent/store/bundles.h"
#include "agent/store/file_store.h"
#include "fake/kept_log.h"
#include "serving/base/limits.h"
#include "serving/certificate/kept_pem.h"
#include "serving/certificate/pem.h"
#include "store_fixture.h"

namespace evercert::test {

class StorePemTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(StorePemTest);
  CPPUNIT_TEST(names_of_files_follow_the_certificate_and_its_kinds_of_key);
  CPPUNIT_TEST(leaf_chain_and_key_follow_each_other_without_an_empty_line);
  CPPUNIT_TEST(a_key_that_is_a_reference_cannot_be_written);
  CPPUNIT_TEST(before_the_first_generation_a_stand_in_is_written);
  CPPUNIT_TEST(forged_generations_are_not_tried_without_end);
  CPPUNIT_TEST(the_newest_generation_is_written);
  CPPUNIT_TEST(a_damaged_generation_leaves_the_one_before);
  CPPUNIT_TEST(files_of_certificates_that_left_go_and_others_stay);
  CPPUNIT_TEST(what_others_put_there_is_neither_replaced_nor_removed);
  CPPUNIT_TEST(what_is_there_already_is_not_written_again);
  CPPUNIT_TEST(what_was_served_before_stays_where_nothing_stored_can_be_used);
  CPPUNIT_TEST(what_is_of_no_use_any_more_gives_way_to_a_stand_in);
  CPPUNIT_TEST(a_test_of_a_configuration_makes_nothing_worse);
  CPPUNIT_TEST(a_directory_that_others_can_write_to_is_refused);
  CPPUNIT_TEST_SUITE_END();

 private:
  const TemporaryDirectory folder_;
  const LittleCa ca_;
  const SealKey key_ = fixed_keys().serving;
  KeptLog log_;

  Plan plan_of(const std::vector<CertificateSpec>& certificates) const {
    Plan plan;
    plan.state_path = folder_.path();
    plan.certificates = certificates;
    return plan;
  }
  static CertificateSpec spec_of(const std::string& name, const std::vector<KeySpec>& keys = {KeySpec{}}) {
    CertificateSpec spec;
    spec.name = name;
    spec.identifiers = {{IdentifierKind::dns, "www.example.com"}, {IdentifierKind::dns, "*.example.com"}};
    spec.keys = keys;
    return spec;
  }
  std::map<std::string, std::uint64_t> write(const std::vector<CertificateSpec>& certificates,
                                             const std::optional<SealKey>& key, PemPurpose purpose = PemPurpose::start) {
    auto written = write_pem_files(folder_ / "pem", purpose, plan_of(certificates), key, {}, log_);
    CPPUNIT_ASSERT_MESSAGE(written ? "" : written.error().message, written);
    return written->generations;
  }
  std::set<std::string> names() const {
    std::set<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "pem"))
      if (entry.path().filename() != ".evercert") found.insert(entry.path().filename());
    return found;
  }
  std::string text(const std::string& name) const {
    const Bytes bytes = file_bytes(folder_ / ("pem/" + name));
    return {bytes.begin(), bytes.end()};
  }
  void put(const Bundle& bundle) const {
    const auto sealed = seal_bundle(key_, bundle);
    CPPUNIT_ASSERT(sealed);
    write_bytes(folder_ / ("state/certificates/" + bundle.name + "/" + std::to_string(bundle.generation) + ".bundle"), *sealed);
  }
  std::string pem(const Bundle& bundle) const { return std::string(pem_of(bundle.pairs.front())->text()); }

 public:
  void names_of_files_follow_the_certificate_and_its_kinds_of_key() {
    CPPUNIT_ASSERT_EQUAL(std::string("a.test.pem"), pem_file_name(spec_of("a.test"), KeyAlgorithm::ecdsa));
    const auto both = spec_of("a.test", {{KeyAlgorithm::ecdsa, 256}, {KeyAlgorithm::rsa, 2048}});
    CPPUNIT_ASSERT_EQUAL(std::string("a.test.pem.ecdsa"), pem_file_name(both, KeyAlgorithm::ecdsa));
    CPPUNIT_ASSERT_EQUAL(std::string("a.test.pem.rsa"), pem_file_name(both, KeyAlgorithm::rsa));
  }

  void leaf_chain_and_key_follow_each_other_without_an_empty_line() {
    const std::string all = pem(make_bundle("a.test", ca_));
    CPPUNIT_ASSERT(all.starts_with("-----BEGIN CERTIFICATE-----\n") && all.ends_with("-----\n"));
    CPPUNIT_ASSERT(all.find("\n\n") == std::string::npos);
    const auto second = all.find("-----BEGIN CERTIFICATE-----", 1);
    CPPUNIT_ASSERT(second != std::string::npos && second < all.find("-----BEGIN PRIVATE KEY-----"));
  }

  void a_key_that_is_a_reference_cannot_be_written() {
    BundlePair pair = make_bundle("a.test", ca_).pairs.front();
    pair.reference = "pkcs11:object=a";
    const auto text = pem_of(pair);
    CPPUNIT_ASSERT(!text && text.error().kind == ErrorKind::key_provider);
  }

  void before_the_first_generation_a_stand_in_is_written() {
    const auto written = write({spec_of("a.test")}, std::nullopt);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{0}, written.at("a.test"));
    CPPUNIT_ASSERT(text("a.test.pem").find("PRIVATE KEY") != std::string::npos);
    struct stat facts {};
    CPPUNIT_ASSERT_EQUAL(0, ::stat((folder_ / "pem").c_str(), &facts));
    CPPUNIT_ASSERT_EQUAL(0700U, facts.st_mode & 0777U);
    CPPUNIT_ASSERT_EQUAL(0, ::stat((folder_ / "pem/a.test.pem").c_str(), &facts));
    CPPUNIT_ASSERT_EQUAL(0600U, facts.st_mode & 0777U);
  }

  // What whoever may write there puts before real generations: as large as is read, and sealed by our key as far as the start
  // of a file tells.
  void forge(const std::string& name, std::uint64_t from, std::size_t count) {
    const auto sealed = seal_bundle(key_, make_bundle(name, ca_));
    CPPUNIT_ASSERT(sealed.has_value());
    for (std::uint64_t generation = from; generation < from + count; ++generation) {
      Bytes forged = *sealed;
      forged.resize(largest_bundle);
      for (int byte = 0; byte < 8; ++byte)
        forged[19 + static_cast<std::size_t>(byte)] = static_cast<std::uint8_t>(generation >> (56 - 8 * byte));
      write_bytes(folder_ / ("state/certificates/" + name + "/" + std::to_string(generation) + ".bundle"), forged);
    }
  }

  void forged_generations_are_not_tried_without_end() {
    constexpr std::size_t forged_each = most_generations_tried - 1;
    constexpr int count = 60;
    std::vector<CertificateSpec> specs;
    for (int i = 0; i < count; ++i) {
      const std::string name = "n" + std::to_string(i) + ".test";
      put(make_bundle(name, ca_));
      forge(name, 2, i < 3 ? forged_each : 1);
      specs.push_back(spec_of(name));
    }
    put(make_bundle("honest.test", ca_));
    specs.push_back(spec_of("honest.test"));
    const auto written = write(specs, key_);
    // The first are looked for behind what was put before them, the others not at all.
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{1}, written.at("n0.test"));
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{0}, written.at("n59.test"));
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{1}, written.at("honest.test"));
  }

  void the_newest_generation_is_written() {
    Bundle first = make_bundle("a.test", ca_);
    Bundle second = make_bundle("a.test", ca_);
    second.generation = 2;
    put(first);
    put(second);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{2}, write({spec_of("a.test")}, key_).at("a.test"));
    CPPUNIT_ASSERT_EQUAL(pem(second), text("a.test.pem"));
  }

  void a_damaged_generation_leaves_the_one_before() {
    const Bundle first = make_bundle("a.test", ca_);
    put(first);
    write_bytes(folder_ / "state/certificates/a.test/2.bundle", bytes_of("torn"));
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{1}, write({spec_of("a.test")}, key_).at("a.test"));
    CPPUNIT_ASSERT_EQUAL(pem(first), text("a.test.pem"));
    CPPUNIT_ASSERT(!log_.lines().empty());
  }

  void files_of_certificates_that_left_go_and_others_stay() {
    write({spec_of("a.test"), spec_of("b.test")}, std::nullopt);
    write_bytes(folder_ / "pem/list.txt", bytes_of("mine"));
    write({spec_of("b.test")}, std::nullopt);
    CPPUNIT_ASSERT((names() == std::set<std::string>{"b.test.pem", "list.txt"}));
  }

  void what_others_put_there_is_neither_replaced_nor_removed() {
    const Bundle bought = make_bundle("a.test", ca_);
    std::filesystem::create_directories(folder_ / "pem");
    CPPUNIT_ASSERT_EQUAL(0, ::chmod((folder_ / "pem").c_str(), 0700));
    for (const char* file : {"a.test.pem", "shop.pem", "old.pem.rsa"})
      write_bytes(folder_ / ("pem/" + std::string(file)), bytes_of(pem(bought)));
    const std::set<std::string> before = names();
    for (const PemPurpose purpose : {PemPurpose::test, PemPurpose::start}) {
      CPPUNIT_ASSERT_EQUAL(std::uint64_t{0}, write({spec_of("a.test")}, key_, purpose).at("a.test"));
      CPPUNIT_ASSERT((names() == before));
    }
    // What is issued later goes into the running server only.
    put(make_bundle("a.test", ca_));
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{0}, write({spec_of("a.test")}, key_).at("a.test"));
    CPPUNIT_ASSERT(log_.lines().back().second.find("was not written by evercert") != std::string::npos);
    for (const char* file : {"a.test.pem", "shop.pem", "old.pem.rsa"}) CPPUNIT_ASSERT_EQUAL(pem(bought), text(file));
    write({}, key_);
    CPPUNIT_ASSERT((names() == before));
  }

  void what_is_there_already_is_not_written_again() {
    put(make_bundle("a.test", ca_));
    write({spec_of("a.test")}, key_);
    struct stat before {};
    struct stat after {};
    CPPUNIT_ASSERT_EQUAL(0, ::stat((folder_ / "pem/a.test.pem").c_str(), &before));
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{1}, write({spec_of("a.test")}, key_).at("a.test"));
    CPPUNIT_ASSERT_EQUAL(0, ::stat((folder_ / "pem/a.test.pem").c_str(), &after));
    CPPUNIT_ASSERT_EQUAL(before.st_ino, after.st_ino);
  }

  void what_was_served_before_stays_where_nothing_stored_can_be_used() {
    const Bundle only = make_bundle("a.test", ca_);
    put(only);
    write({spec_of("a.test")}, key_);
    std::filesystem::remove_all(folder_ / "state/certificates");
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{0}, write({spec_of("a.test")}, key_).at("a.test"));
    CPPUNIT_ASSERT_EQUAL(pem(only), text("a.test.pem"));
    CPPUNIT_ASSERT(log_.lines().back().second.find("served on") != std::string::npos);
    // Without the seal key as well, and for another kind of key beside it.
    write({spec_of("a.test")}, std::nullopt);
    CPPUNIT_ASSERT_EQUAL(pem(only), text("a.test.pem"));
    std::filesystem::rename(folder_ / "pem/a.test.pem", folder_ / "pem/a.test.pem.ecdsa");
    write({spec_of("a.test", {{KeyAlgorithm::ecdsa, 256}, {KeyAlgorithm::rsa, 2048}})}, key_);
    CPPUNIT_ASSERT_EQUAL(pem(only), text("a.test.pem.ecdsa"));
    CPPUNIT_ASSERT_EQUAL(pem(only), text("a.test.pem.rsa"));
  }

  void what_is_of_no_use_any_more_gives_way_to_a_stand_in() {
    const Bundle good = make_bundle("a.test", ca_);
    const auto file = folder_ / "pem/a.test.pem";
    CertificateSpec other = spec_of("a.test");
    other.identifiers.push_back({IdentifierKind::dns, "new.example.com"});
    const std::string of_another_key = pem(good).substr(0, pem(good).find("-----BEGIN PRIVATE KEY")) +
                                       pem(make_bundle("a.test", ca_)).substr(pem(good).find("-----BEGIN PRIVATE KEY"));
    const auto is_replaced = [&](const CertificateSpec& spec, const std::string& content) {
      std::filesystem::create_directories(folder_ / "pem");
      CPPUNIT_ASSERT_EQUAL(0, ::chmod((folder_ / "pem").c_str(), 0700));
      write_bytes(file, bytes_of(content));
      write({spec}, key_);
      return text("a.test.pem") != content;
    };
    write({spec_of("a.test")}, std::nullopt);  // so that the file is ours
    CPPUNIT_ASSERT(!is_replaced(spec_of("a.test"), pem(good)));
    CPPUNIT_ASSERT(is_replaced(other, pem(good)));
    CPPUNIT_ASSERT(is_replaced(spec_of("a.test"), pem(good).substr(0, 100)));
    CPPUNIT_ASSERT(is_replaced(spec_of("a.test"), of_another_key));
    CPPUNIT_ASSERT(is_replaced(spec_of("a.test"), "nothing of ours"));
    CPPUNIT_ASSERT(judge_pem(Secret::from_text(pem(good)), spec_of("a.test").identifiers, std::chrono::system_clock::now()) ==
                   KeptPem::issued);
    CPPUNIT_ASSERT(judge_pem(Secret::from_text(pem(good)), spec_of("a.test").identifiers,
                             std::chrono::system_clock::now() + std::chrono::hours(24 * 365)) == KeptPem::useless);
  }

  void a_test_of_a_configuration_makes_nothing_worse() {
    const Bundle first = make_bundle("a.test", ca_);
    put(first);
    write({spec_of("a.test"), spec_of("b.test")}, key_);
    const std::string stand_in = text("b.test.pem");
    Bundle second = make_bundle("a.test", ca_);
    second.generation = 2;
    put(second);
    write({spec_of("a.test"), spec_of("c.test")}, key_, PemPurpose::test);
    CPPUNIT_ASSERT((names() == std::set<std::string>{"a.test.pem", "b.test.pem", "c.test.pem"}));
    CPPUNIT_ASSERT_EQUAL(pem(first), text("a.test.pem"));
    CPPUNIT_ASSERT_EQUAL(stand_in, text("b.test.pem"));
    write_bytes(folder_ / "pem/a.test.pem", bytes_of("torn"));
    write({spec_of("a.test")}, key_, PemPurpose::test);
    CPPUNIT_ASSERT_EQUAL(pem(second), text("a.test.pem"));
  }

  void a_directory_that_others_can_write_to_is_refused() {
    std::filesystem::create_directories(folder_ / "pem");
    CPPUNIT_ASSERT_EQUAL(0, ::chmod((folder_ / "pem").c_str(), 0777));
    const auto written =
        write_pem_files(folder_ / "pem", PemPurpose::start, plan_of({spec_of("a.test")}), std::nullopt, {}, log_);
    CPPUNIT_ASSERT(!written && written.error().message.find("chmod go-w") != std::string::npos);
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(StorePemTest);

}  // namespace evercert::test
