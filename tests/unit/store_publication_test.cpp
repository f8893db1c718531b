#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>

#include <algorithm>

#include "agent/store/bundles.h"
#include "agent/store/file_store.h"
#include "agent/store/revoked_leaves.h"
#include "evercert/descriptor.h"
#include "fake/leader_of_tests.h"
#include "serving/base/bounds.h"
#include "serving/base/encoding.h"
#include "store_fixture.h"

namespace evercert::test {

class StorePublicationTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(StorePublicationTest);
  CPPUNIT_TEST(generations_are_numbered_and_the_previous_one_is_kept);
  CPPUNIT_TEST(a_bundle_that_fails_its_proof_is_not_published);
  CPPUNIT_TEST(a_damaged_newest_is_quarantined_and_the_one_before_is_used);
  CPPUNIT_TEST(the_number_of_a_damaged_bundle_is_never_used_again);
  CPPUNIT_TEST(a_number_known_to_the_board_is_never_used_again);
  CPPUNIT_TEST(no_name_of_a_file_uses_the_numbers_up);
  CPPUNIT_TEST(a_locked_or_newer_bundle_is_left_alone_and_holds_up_publication);
  CPPUNIT_TEST(publishers_that_race_get_different_numbers);
  CPPUNIT_TEST(a_rollback_is_a_new_generation_with_old_content);
  CPPUNIT_TEST(a_rollback_to_nothing_or_to_an_expired_one_is_refused);
  CPPUNIT_TEST(a_rollback_never_goes_back_to_what_was_revoked);
  CPPUNIT_TEST(when_a_leaf_was_revoked_is_known_after_a_restart);
  CPPUNIT_TEST_SUITE_END();

  TemporaryDirectory directory_;
  const std::unique_ptr<Store> store_ = open_store();
  const SealKey key_ = fixed_keys().serving;
  const LittleCa ca_;
  const std::chrono::system_clock::time_point now_ = std::chrono::system_clock::now();

  [[nodiscard]] std::unique_ptr<Store> open_store() const {
    return make_file_store(Descriptor(open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), leader_of_tests(),
                           {});
  }
  std::uint64_t publish(const PublishOptions& options = {}) {
    const auto published = publish_bundle(*store_, key_, make_bundle("a", ca_), now_, options);
    CPPUNIT_ASSERT_MESSAGE(published ? "" : published.error().message, published.has_value());
    return *published;
  }
  [[nodiscard]] std::vector<std::string> bundles() const {
    auto keys = *store_->list("certificates/a/");
    std::sort(keys.begin(), keys.end());
    return keys;
  }
  void damage(std::uint64_t generation) const { std::filesystem::resize_file(directory_ / bundle_path("a", generation), 60); }
  void put_locked(std::uint64_t generation) const {
    Bundle bundle = make_bundle("a", ca_);
    bundle.generation = generation;
    write_bytes(directory_ / bundle_path("a", generation), *seal_bundle(fixed_keys(9).serving, bundle));
  }

  void generations_are_numbered_and_the_previous_one_is_kept() {
    CPPUNIT_ASSERT(!newest_bundle(*store_, key_, "a")->bundle);
    for (std::uint64_t generation = 1; generation <= 4; ++generation) CPPUNIT_ASSERT_EQUAL(generation, publish());
    CPPUNIT_ASSERT(bundles() == (std::vector<std::string>{bundle_path("a", 3), bundle_path("a", 4)}));
    const auto newest = newest_bundle(*store_, key_, "a");
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{4}, newest->bundle->generation);
    CPPUNIT_ASSERT(!newest->held && newest->damaged.empty());
  }

  void a_bundle_that_fails_its_proof_is_not_published() {
    Bundle bundle = make_bundle("a", ca_);
    bundle.identifiers.push_back({IdentifierKind::dns, "more.example.com"});
    CPPUNIT_ASSERT(publish_bundle(*store_, key_, bundle, now_).error().kind == ErrorKind::storage);
    CPPUNIT_ASSERT(bundles().empty());
  }

  void a_damaged_newest_is_quarantined_and_the_one_before_is_used() {
    publish();
    publish();
    damage(2);
    const auto newest = newest_bundle(*store_, key_, "a");
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{1}, newest->bundle->generation);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, newest->damaged.size());
    CPPUNIT_ASSERT(newest->damaged[0].message.find("moved to quarantine/") != std::string::npos);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, store_->list("quarantine/")->size());
    CPPUNIT_ASSERT(newest_bundle(*store_, key_, "a")->damaged.empty());
  }

  void the_number_of_a_damaged_bundle_is_never_used_again() {
    publish();
    publish();
    damage(2);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{3}, publish());  // lies there still
    damage(3);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{1}, newest_bundle(*store_, key_, "a")->bundle->generation);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{4}, publish());  // lies in quarantine
    CPPUNIT_ASSERT(bundles() == (std::vector<std::string>{bundle_path("a", 1), bundle_path("a", 4)}));
  }

  void a_number_known_to_the_board_is_never_used_again() {
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{18}, publish({.above = 17}));
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{19}, publish({.above = 17}));
  }

  void no_name_of_a_file_uses_the_numbers_up() {
    publish();
    for (const char* number :
         {"18446744073709551615", "18446744073709551616", "281474976710657", "281474976710656", "9000000"}) {
      write_bytes(directory_ / ("certificates/a/" + std::string(number) + ".bundle"), bytes_of("foreign"));
      write_bytes(directory_ / ("quarantine/certificates_a_" + std::string(number) + ".bundle.1"), bytes_of("foreign"));
    }
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{2}, publish());
    const auto newest = newest_bundle(*store_, key_, "a");
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{2}, newest->bundle->generation);
    CPPUNIT_ASSERT_EQUAL(std::size_t{3}, newest->foreign.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, newest->damaged.size());
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{3}, publish());
    CPPUNIT_ASSERT(rollback(*store_, key_, "a", 2, now_).has_value());
    CPPUNIT_ASSERT(!rollback(*store_, key_, "a", ~std::uint64_t{0}, now_));
    CPPUNIT_ASSERT(!publish_bundle(*store_, key_, make_bundle("a", ca_), now_, {.above = highest_generation}));
  }

  void a_locked_or_newer_bundle_is_left_alone_and_holds_up_publication() {
    publish();
    put_locked(2);
    const Bytes locked = file_bytes(directory_ / bundle_path("a", 2));
    const auto newest = newest_bundle(*store_, key_, "a");
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{1}, newest->bundle->generation);
    CPPUNIT_ASSERT(newest->held && newest->held->kind == ErrorKind::action_required && newest->damaged.empty());
    CPPUNIT_ASSERT(publish_bundle(*store_, key_, make_bundle("a", ca_), now_).error().kind == ErrorKind::action_required);
    CPPUNIT_ASSERT(file_bytes(directory_ / bundle_path("a", 2)) == locked);

    Bytes newer = *seal_bundle(key_, make_bundle("a", ca_));
    newer[10] = 2;
    write_bytes(directory_ / bundle_path("a", 2), newer);
    CPPUNIT_ASSERT(newest_bundle(*store_, key_, "a")->held->message.find("newer release") != std::string::npos);
    CPPUNIT_ASSERT(file_bytes(directory_ / bundle_path("a", 2)) == newer);
    CPPUNIT_ASSERT(store_->list("quarantine/")->empty());
  }

  void publishers_that_race_get_different_numbers() {
    const Bundle bundle = make_bundle("a", ca_);
    std::vector<pid_t> children;
    for (int child = 0; child < 4; ++child) {
      children.push_back(start_child([&] {
        const auto own = open_store();
        for (int round = 0; round < 5; ++round) {
          if (!publish_bundle(*own, key_, bundle, now_)) return 1;
        }
        return 0;
      }));
    }
    for (const pid_t child : children) CPPUNIT_ASSERT_EQUAL(0, wait_for(child));
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{20}, newest_bundle(*store_, key_, "a")->bundle->generation);
  }

  void a_rollback_is_a_new_generation_with_old_content() {
    publish();
    const Bytes old_leaf = newest_bundle(*store_, key_, "a")->bundle->pairs[0].leaf;
    publish();
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{3}, *rollback(*store_, key_, "a", {}, now_));
    const auto newest = newest_bundle(*store_, key_, "a");
    CPPUNIT_ASSERT(newest->bundle->pairs[0].leaf == old_leaf);
    CPPUNIT_ASSERT_EQUAL(std::string("rollback to 1"), newest->bundle->origin);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{4}, *rollback(*store_, key_, "a", 2, now_));
  }

  void a_rollback_to_nothing_or_to_an_expired_one_is_refused() {
    CPPUNIT_ASSERT(rollback(*store_, key_, "a", {}, now_).error().kind == ErrorKind::storage);
    publish();
    CPPUNIT_ASSERT(rollback(*store_, key_, "a", {}, now_).error().kind == ErrorKind::storage);
    CPPUNIT_ASSERT(rollback(*store_, key_, "a", 7, now_)
                       .error()
                       .message.find("never was a generation 7; left and not revoked: 1 (the present one)") !=
                   std::string::npos);
    const auto later = now_ + std::chrono::hours(24 * 365);
    CPPUNIT_ASSERT(rollback(*store_, key_, "a", 1, later).error().message.find("expired") != std::string::npos);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, bundles().size());
  }

  void a_rollback_never_goes_back_to_what_was_revoked() {
    std::vector<RevokedLeaf> revoked;
    const auto revoke = [&](std::uint64_t generation) {
      const auto bundle = newest_bundle(*store_, key_, "a");
      CPPUNIT_ASSERT(bundle && bundle->bundle && bundle->bundle->generation == generation);
      revoked.push_back({to_hex(sha256(bundle->bundle->pairs[0].leaf)), now_});
      CPPUNIT_ASSERT(keep_revoked_leaves(*store_, "a", revoked).has_value());
    };
    const auto refused = [&](std::optional<std::uint64_t> to) {
      const auto rolled = rollback(*store_, key_, "a", to, now_);
      CPPUNIT_ASSERT(!rolled && rolled.error().kind == ErrorKind::storage);
      return rolled.error().message;
    };
    revoke(publish());
    publish();
    for (const auto to : {std::optional<std::uint64_t>(), std::optional<std::uint64_t>(1)}) {
      const std::string why = refused(to);
      CPPUNIT_ASSERT_MESSAGE(
          why, why.find("generation 1 is revoked; left and not revoked: 2 (the present one)") != std::string::npos);
    }
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, bundles().size());
    revoke(2);
    const std::string none = refused({});
    CPPUNIT_ASSERT_MESSAGE(
        none, none.find("none that is left is not revoked: `evercert renew a` orders another") != std::string::npos);
    publish();
    CPPUNIT_ASSERT(refused(1).find("no generation 1 any more; left and not revoked: 3") != std::string::npos);
  }

  void when_a_leaf_was_revoked_is_known_after_a_restart() {
    const auto at = std::chrono::floor<std::chrono::milliseconds>(now_);
    const std::vector<RevokedLeaf> leaves{{std::string(64, 'a')}, {std::string(64, 'b'), at}};
    CPPUNIT_ASSERT(keep_revoked_leaves(*store_, "a", leaves).has_value());
    CPPUNIT_ASSERT(read_revoked_leaves(*open_store(), "a") == leaves);
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(StorePublicationTest);

}  // namespace evercert::test
