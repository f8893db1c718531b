// Orders of lines that nobody names any more, on a disk that fails.
#include <cppunit/extensions/HelperMacros.h>

#include <filesystem>
#include <fstream>

#include "agent/lead/left_orders.h"
#include "fake/state_directory.h"

namespace evercert {
namespace {

namespace fs = std::filesystem;

class LeftOrdersTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(LeftOrdersTest);
  CPPUNIT_TEST(an_open_order_of_another_line_is_taken_once);
  CPPUNIT_TEST(a_purchase_is_counted_in_the_line_that_it_moves_to);
  CPPUNIT_TEST(one_that_may_have_been_placed_is_taken_where_none_is_open);
  CPPUNIT_TEST(orders_that_cannot_be_listed_or_read_are_not_taken_for_none);
  CPPUNIT_TEST(an_order_that_cannot_be_written_is_not_taken_for_none);
  CPPUNIT_TEST_SUITE_END();

 public:
  LeftOrdersTest() : orders_(state_.store(), state_.keys().agent, &state_.reached()), left_(state_.store(), orders_) {
    certificate_.name = "new.test";
    certificate_.identifiers = {{IdentifierKind::dns, "b.test"}, {IdentifierKind::dns, "a.test"}};
    certificate_.issuers = {"other", "ca"};
    left_.named({"new.test"});
  }

 private:
  void leave(const std::string& line, OrderState state, std::uint64_t purchase = 0) {
    OrderRecord record;
    record.certificate = line;
    record.identifiers = {{IdentifierKind::dns, "a.test"}, {IdentifierKind::dns, "b.test"}};
    record.issuer = "ca";
    record.our_reference = line;
    record.request = {1, 2, 3};
    record.state = state;
    record.purchase = purchase;
    CPPUNIT_ASSERT(orders_.save(record, Durability::process).has_value());
  }
  [[nodiscard]] std::string path(const std::string& line) const {
    return state_.path() + "/state/" + order_key(line, KeyAlgorithm::ecdsa);
  }

  void an_open_order_of_another_line_is_taken_once() {
    leave("old.test", OrderState::processing);
    const auto taken = left_.take(certificate_, {});
    CPPUNIT_ASSERT(taken && *taken && (*taken)->our_reference == "old.test" && (*taken)->certificate == "new.test");
    CPPUNIT_ASSERT(!fs::exists(path("old.test")) && fs::exists(path("new.test")));
    const auto again = left_.take(certificate_, {});
    CPPUNIT_ASSERT(again && !*again);
  }

  void a_purchase_is_counted_in_the_line_that_it_moves_to() {
    leave("old.test", OrderState::processing, 4);
    CPPUNIT_ASSERT(orders_.last_purchase("old.test", KeyAlgorithm::ecdsa).open);
    const auto taken = left_.take(certificate_, {});
    CPPUNIT_ASSERT(taken && *taken && (*taken)->purchase == 1);
    const LastPurchase moved = orders_.last_purchase("new.test", KeyAlgorithm::ecdsa);
    CPPUNIT_ASSERT(moved.open && moved.number == 1 && !moved.outdates(**taken));
    const LastPurchase before = orders_.last_purchase("old.test", KeyAlgorithm::ecdsa);
    CPPUNIT_ASSERT(!before.open && before.number == 4);
  }

  void one_that_may_have_been_placed_is_taken_where_none_is_open() {
    leave("a-old.test", OrderState::planned);
    leave("b-old.test", OrderState::processing);
    for (const char* reference : {"b-old.test", "a-old.test"}) {
      const auto taken = left_.take(certificate_, {});
      CPPUNIT_ASSERT(taken && *taken && (*taken)->our_reference == reference);
    }
  }

  void orders_that_cannot_be_listed_or_read_are_not_taken_for_none() {
    leave("old.test", OrderState::processing);
    const fs::path orders = state_.path() + "/state/orders";
    const fs::path aside = state_.path() + "/aside";
    fs::rename(orders, aside);
    fs::create_symlink(orders, orders);
    CPPUNIT_ASSERT(!left_.take(certificate_, {}));
    fs::remove(orders);
    fs::rename(aside, orders);
    const auto taken = left_.take(certificate_, {});
    CPPUNIT_ASSERT(taken && *taken);
    // What is damaged is put away and told; then it is gone.
    std::ofstream(path("damaged.test")) << "nothing of ours";
    left_.named({"new.test"});
    CPPUNIT_ASSERT(!left_.take(certificate_, {}));
    const auto gone = left_.take(certificate_, {});
    CPPUNIT_ASSERT(gone && !*gone);
  }

  void an_order_that_cannot_be_written_is_not_taken_for_none() {
    leave("old.test", OrderState::processing);
    fs::create_directory(path("new.test"));
    CPPUNIT_ASSERT(!left_.take(certificate_, {}));
    fs::remove(path("new.test"));
    const auto taken = left_.take(certificate_, {});
    CPPUNIT_ASSERT(taken && *taken);
  }

  StateDirectory state_;
  OrderRecords orders_;
  LeftOrders left_;
  CertificateSpec certificate_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(LeftOrdersTest);

}  // namespace
}  // namespace evercert
