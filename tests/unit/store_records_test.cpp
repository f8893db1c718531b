// The one way in which records are sealed, labelled, versioned, read and put away.
#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>

#include "agent/store/file_store.h"
#include "agent/store/records.h"
#include "evercert/descriptor.h"
#include "fake/leader_of_tests.h"
#include "serving/base/json.h"
#include "store_fixture.h"

namespace evercert::test {

class StoreRecordsTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(StoreRecordsTest);
  CPPUNIT_TEST(a_record_comes_back);
  CPPUNIT_TEST(what_is_no_object_is_not_written);
  CPPUNIT_TEST(a_damaged_record_is_put_away_and_its_place_is_free);
  CPPUNIT_TEST(one_that_its_reader_refuses_is_put_away);
  CPPUNIT_TEST(a_locked_or_newer_record_is_left_alone);
  CPPUNIT_TEST(a_record_does_not_open_under_another_label_or_kind);
  CPPUNIT_TEST(a_condition_goes_with_the_write);
  CPPUNIT_TEST_SUITE_END();

  TemporaryDirectory directory_;
  const std::unique_ptr<Store> store_ =
      make_file_store(Descriptor(open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), leader_of_tests(), {});
  const SealKey agent_ = fixed_keys().agent;
  Records records_{*store_, agent_};
  const RecordPlace place_{SealedKind::account, "accounts/x.account", "x", "the record of x"};

  // What lies there, as far as it was read.
  Result<RecordFound> load(const RecordPlace& place) {
    read_ = nullptr;
    return records_.load(place, [this](const Json& json) { read_ = json; });
  }
  Json read_;

  [[nodiscard]] std::string only_quarantined() const {
    const auto keys = store_->list("quarantine/");
    CPPUNIT_ASSERT(keys && keys->size() == 1);
    return keys->front();
  }

 public:
  void a_record_comes_back() {
    CPPUNIT_ASSERT(!load(place_)->present);
    CPPUNIT_ASSERT(records_.save(place_, {{"state", "placed"}}));
    CPPUNIT_ASSERT(load(place_)->present);
    CPPUNIT_ASSERT(read_ == Json({{"state", "placed"}, {"format", 1}}));
  }

  void what_is_no_object_is_not_written() {
    CPPUNIT_ASSERT(!records_.save(place_, Json::array()));
    CPPUNIT_ASSERT(!load(place_)->present);
  }

  void a_damaged_record_is_put_away_and_its_place_is_free() {
    const auto sealed = [this](std::string_view text) { return *seal(agent_, {SealedKind::account, "x"}, bytes_of(text)); };
    std::size_t count = 0;
    for (const Bytes& content : {Bytes(), bytes_of("foreign"), sealed("no JSON"), sealed("[]"), sealed(R"({"key":"value"})"),
                                 sealed(R"({"format":0})"), sealed(R"({"format":"1"})")}) {
      write_bytes(directory_ / place_.key, content);
      const auto found = load(place_);
      CPPUNIT_ASSERT(found && !found->present && found->damaged && found->damaged->kind == ErrorKind::storage);
      CPPUNIT_ASSERT(found->damaged->message.starts_with("the record of x is damaged: "));
      CPPUNIT_ASSERT(found->damaged->message.find("it was moved to quarantine/accounts_x.account.") != std::string::npos);
      const auto again = load(place_);
      CPPUNIT_ASSERT(again && !again->present && !again->damaged);
      CPPUNIT_ASSERT_EQUAL(++count, store_->list("quarantine/")->size());
    }
  }

  void one_that_its_reader_refuses_is_put_away() {
    CPPUNIT_ASSERT(records_.save(place_, {{"number", "seven"}}));
    const Bytes before = file_bytes(directory_ / place_.key);
    const auto found = records_.load(place_, [](const Json& json) { static_cast<void>(json.at("number").get<int>()); });
    CPPUNIT_ASSERT(found && !found->present && found->damaged);
    CPPUNIT_ASSERT(file_bytes(directory_ / only_quarantined()) == before);
  }

  void a_locked_or_newer_record_is_left_alone() {
    for (const Bytes& content : {*seal(fixed_keys(9).agent, {SealedKind::account, "x"}, bytes_of("{}")),
                                 *seal(agent_, {SealedKind::account, "x"}, bytes_of(R"({"format":2})"))}) {
      write_bytes(directory_ / place_.key, content);
      CPPUNIT_ASSERT(load(place_).error().kind == ErrorKind::action_required);
      CPPUNIT_ASSERT(read_.is_null());
      CPPUNIT_ASSERT(file_bytes(directory_ / place_.key) == content);
    }
  }

  void a_record_does_not_open_under_another_label_or_kind() {
    for (const RecordPlace& other : {RecordPlace{SealedKind::account, "accounts/y.account", "y", "another"},
                                     RecordPlace{SealedKind::order, "orders/x.order", "x", "another"}}) {
      CPPUNIT_ASSERT(records_.save(place_, Json::object()));
      write_bytes(directory_ / other.key, file_bytes(directory_ / place_.key));
      CPPUNIT_ASSERT(load(other)->damaged.has_value());
    }
  }

  void a_condition_goes_with_the_write() {
    Store::PutOptions absent;
    absent.condition.kind = Store::Condition::Kind::absent;
    CPPUNIT_ASSERT(records_.save(place_, {{"first", true}}, absent));
    CPPUNIT_ASSERT(!records_.save(place_, {{"second", true}}, absent));
    CPPUNIT_ASSERT(load(place_)->present && read_.contains("first"));
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(StoreRecordsTest);

}  // namespace evercert::test
