// One file of each on-disk format as it was first written, and the fixed seal key it was sealed with. They are never made
// anew: what opens today must open for ever.
#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>

#include <algorithm>

#include "agent/store/bundles.h"
#include "agent/store/file_store.h"
#include "agent/store/records.h"
#include "evercert/descriptor.h"
#include "serving/base/json.h"
#include "store_fixture.h"

namespace evercert::test {

class SealFormatsTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(SealFormatsTest);
  CPPUNIT_TEST(the_seal_key_of_format_1_is_read);
  CPPUNIT_TEST(the_bundle_of_format_1_opens);
  CPPUNIT_TEST(the_records_of_format_1_open);
  CPPUNIT_TEST(a_bundle_of_a_newer_format_is_refused_and_left_alone);
  CPPUNIT_TEST_SUITE_END();

  TemporaryDirectory directory_;
  const std::string samples_ = std::string(EVERCERT_TEST_DATA) + "/formats/";
  const Secret root_ = *read_seal_key_text(file_bytes(samples_ + "seal_v1.key"), "seal_v1.key");
  const SealKeys keys_ = *derive_seal_keys(root_);

  [[nodiscard]] std::unique_ptr<Store> open_store() const {
    return make_file_store(Descriptor(open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), {});
  }

  void the_seal_key_of_format_1_is_read() { CPPUNIT_ASSERT(std::ranges::equal(root_.view(), Bytes(32, 7))); }

  void the_bundle_of_format_1_opens() {
    const auto bundle = open_bundle(keys_.serving, "www.example.com", 3, file_bytes(samples_ + "bundle_v1.bundle"));
    CPPUNIT_ASSERT(bundle.has_value());
    CPPUNIT_ASSERT_EQUAL(std::string("example"), bundle->issuer);
    CPPUNIT_ASSERT_EQUAL(std::string("order"), bundle->origin);
    CPPUNIT_ASSERT(bundle->issued_at == std::chrono::system_clock::from_time_t(1'700'000'000));
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, bundle->identifiers.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, bundle->pairs.size());
    CPPUNIT_ASSERT(bundle->pairs[0].key == KeySpec{} && bundle->pairs[1].key == (KeySpec{KeyAlgorithm::rsa, 2048}));
    CPPUNIT_ASSERT(verify_bundle(*bundle, std::chrono::system_clock::from_time_t(4'000'000'000)).has_value());
  }

  void the_records_of_format_1_open() {
    const auto store = open_store();
    const auto take = [this](const std::string& sample, const std::string& key) {
      write_bytes(directory_ / key, file_bytes(samples_ + sample));
    };
    take("account_v1.account", "accounts/example.account");
    take("order_v1.order", "orders/www.example.com.ecdsa-256.order");
    take("challenge_v1.answer", "challenges/http-01.token.answer");
    const auto account = load_record(*store, keys_.agent, SealedKind::account, "example");
    CPPUNIT_ASSERT(account && account->content && (*account->content)["uri"] == "https://ca.example/account/1");
    const auto order = load_record(*store, keys_.agent, SealedKind::order, "www.example.com.ecdsa-256");
    CPPUNIT_ASSERT(order && order->content && (*order->content)["certificate"] == "www.example.com");
    const auto challenge = load_record(*store, keys_.agent, SealedKind::challenge, "http-01.token");
    CPPUNIT_ASSERT(challenge && challenge->content && (*challenge->content)["answer"] == "token.thumbprint");
  }

  void a_bundle_of_a_newer_format_is_refused_and_left_alone() {
    Bytes newer = file_bytes(samples_ + "bundle_v1.bundle");
    newer[10] = 2;  // the envelope's format, low byte
    const std::string path = directory_ / bundle_path("www.example.com", 3);
    write_bytes(path, newer);
    CPPUNIT_ASSERT(open_bundle(keys_.serving, "www.example.com", 3, newer).error().kind == ErrorKind::action_required);
    const auto newest = newest_bundle(*open_store(), keys_.serving, "www.example.com");
    CPPUNIT_ASSERT(newest && newest->held && !newest->bundle && newest->damaged.empty());
    CPPUNIT_ASSERT(file_bytes(path) == newer);
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(SealFormatsTest);

}  // namespace evercert::test
