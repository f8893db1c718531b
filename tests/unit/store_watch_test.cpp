#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "agent/store/event_tail.h"
#include "agent/store/file_store.h"
#include "evercert/descriptor.h"
#include "fake/leader_of_tests.h"
#include "store_fixture.h"

namespace evercert::test {

class StoreWatchTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(StoreWatchTest);
  CPPUNIT_TEST(changes_of_another_process_are_heard);
  CPPUNIT_TEST(erasing_is_heard);
  CPPUNIT_TEST(a_directory_that_appears_later_is_heard);
  CPPUNIT_TEST(a_directory_that_goes_and_comes_back_is_heard);
  CPPUNIT_TEST(unfinished_files_are_not_told);
  CPPUNIT_TEST(a_lost_history_tells_the_prefix);
  CPPUNIT_TEST(certificates_are_heard_through_the_events);
  CPPUNIT_TEST(events_of_before_are_not_told);
  CPPUNIT_TEST(half_a_line_waits_for_its_end);
  CPPUNIT_TEST(a_new_event_file_is_read_from_its_start);
  CPPUNIT_TEST(lines_are_read_for_their_certificate);
  CPPUNIT_TEST(a_watch_that_has_gone_tells_nothing);
  CPPUNIT_TEST(a_prefix_must_be_a_directory);
  CPPUNIT_TEST_SUITE_END();

  // Collects what is told, and waits for it.
  class Ears {
   public:
    void hear(const std::string& key) {
      const std::lock_guard lock(mutex_);
      heard_.push_back(key);
      more_.notify_all();
    }
    bool wait_for(const std::string& key) {
      std::unique_lock lock(mutex_);
      return more_.wait_for(lock, std::chrono::seconds(20), [&] { return std::ranges::count(heard_, key) > 0; });
    }
    std::vector<std::string> all() {
      const std::lock_guard lock(mutex_);
      return heard_;
    }
    bool wait_for_many(const std::string& key, std::ptrdiff_t count) {
      std::unique_lock lock(mutex_);
      return more_.wait_for(lock, std::chrono::seconds(20), [&] { return std::ranges::count(heard_, key) >= count; });
    }

   private:
    std::mutex mutex_;
    std::condition_variable more_;
    std::vector<std::string> heard_;
  };

  TemporaryDirectory directory_;
  const std::unique_ptr<Store> store_ = open_store();
  Ears ears_;

  [[nodiscard]] std::unique_ptr<Store> open_store() const {
    return make_file_store(Descriptor(open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), leader_of_tests(),
                           {});
  }
  std::unique_ptr<StoreWatch> watch(const std::string& prefix) {
    auto watch = store_->watch(prefix, [this](const std::string& key) { ears_.hear(key); });
    CPPUNIT_ASSERT(watch.has_value());
    return std::move(*watch);
  }
  void put_elsewhere(const std::string& key) const {
    CPPUNIT_ASSERT_EQUAL(0, in_child([&] { return open_store()->put(key, bytes_of("x"), {}) ? 0 : 1; }));
  }
  void append(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories(directory_ / "events");
    std::ofstream(directory_ / ("events/" + file), std::ios::app) << text;
  }

  void changes_of_another_process_are_heard() {
    put_elsewhere("challenges/http-01.a.answer");
    const auto held = watch("challenges/");
    put_elsewhere("challenges/http-01.b.answer");
    CPPUNIT_ASSERT(ears_.wait_for("challenges/http-01.b.answer"));
    CPPUNIT_ASSERT_EQUAL(std::ptrdiff_t{0}, std::ranges::count(ears_.all(), "challenges/http-01.a.answer"));
    put_elsewhere("challenges/http-01.a.answer");
    CPPUNIT_ASSERT(ears_.wait_for("challenges/http-01.a.answer"));
  }

  void erasing_is_heard() {
    put_elsewhere("orders/a.order");
    const auto held = watch("orders/");
    CPPUNIT_ASSERT(store_->erase("orders/a.order").has_value());
    CPPUNIT_ASSERT(ears_.wait_for("orders/a.order"));
  }

  void a_directory_that_appears_later_is_heard() {
    const auto held = watch("certificates/a/");
    put_elsewhere("certificates/a/1.bundle");
    CPPUNIT_ASSERT(ears_.wait_for("certificates/a/"));
    put_elsewhere("certificates/a/2.bundle");
    CPPUNIT_ASSERT(ears_.wait_for("certificates/a/2.bundle"));
  }

  void a_directory_that_goes_and_comes_back_is_heard() {
    put_elsewhere("challenges/a.answer");
    const auto held = watch("challenges/");
    std::filesystem::remove_all(directory_ / "challenges");
    CPPUNIT_ASSERT(ears_.wait_for_many("challenges/", 1));
    put_elsewhere("challenges/b.answer");
    CPPUNIT_ASSERT(ears_.wait_for_many("challenges/", 2));
    put_elsewhere("challenges/c.answer");
    CPPUNIT_ASSERT(ears_.wait_for("challenges/c.answer"));
  }

  void unfinished_files_are_not_told() {
    put_elsewhere("orders/a.order");
    const auto held = watch("orders/");
    for (int round = 0; round < 5; ++round) put_elsewhere("orders/a.order");
    put_elsewhere("orders/end.order");
    CPPUNIT_ASSERT(ears_.wait_for("orders/end.order"));
    for (const std::string& key : ears_.all())
      CPPUNIT_ASSERT_MESSAGE(key, key == "orders/a.order" || key == "orders/end.order");
  }

  void a_lost_history_tells_the_prefix() {
    std::filesystem::create_directory(directory_ / "orders");
    std::size_t most = 16384;
    std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> most;
    std::mutex gate;
    std::unique_lock closed(gate);
    const auto held = store_->watch("orders/", [&](const std::string& key) {
      const std::lock_guard wait(gate);
      ears_.hear(key);
    });
    CPPUNIT_ASSERT(held.has_value());
    // Two names in turn, or the kernel would merge equal notices.
    for (std::size_t written = 0; written < most + 2000; ++written) {
      const Descriptor file(
          open((directory_ / (written % 2 == 0 ? "orders/a" : "orders/b")).c_str(), O_WRONLY | O_CREAT, 0600));
    }
    closed.unlock();
    CPPUNIT_ASSERT(ears_.wait_for("orders/"));
  }

  void certificates_are_heard_through_the_events() {
    const auto held = watch("certificates/");
    append("events.jsonl", R"({"name":"published","certificate":"*.example.com","generation":4})"
                           "\n");
    CPPUNIT_ASSERT(ears_.wait_for("certificates/_wildcard_.example.com/4.bundle"));
    append("events.jsonl", R"({"name":"rolled_back","certificate":"b","generation":5})"
                           "\n");
    CPPUNIT_ASSERT(ears_.wait_for("certificates/b/5.bundle"));
  }

  void events_of_before_are_not_told() {
    append("events.jsonl", "{\"certificate\":\"old\",\"generation\":1}\n");
    const auto held = watch("certificates/");
    append("events.jsonl", "{\"certificate\":\"new\",\"generation\":1}\n");
    CPPUNIT_ASSERT(ears_.wait_for("certificates/new/1.bundle"));
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, ears_.all().size());
  }

  void half_a_line_waits_for_its_end() {
    append("events.jsonl", "{}\n");
    const auto held = watch("certificates/");
    append("events.jsonl", "no event at all\n{\"certificate\":\"a\",");
    append("other.jsonl", "{\"certificate\":\"b\",\"generation\":2}\n");
    CPPUNIT_ASSERT(ears_.wait_for("certificates/b/2.bundle"));
    append("events.jsonl", "\"generation\":3}\n");
    CPPUNIT_ASSERT(ears_.wait_for("certificates/a/3.bundle"));
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, ears_.all().size());
  }

  void a_new_event_file_is_read_from_its_start() {
    append("events.jsonl", "{\"certificate\":\"a\",\"generation\":1}\n");
    const auto held = watch("certificates/");
    std::filesystem::rename(directory_ / "events/events.jsonl", directory_ / "events/events.1");
    append("events.jsonl", "{\"certificate\":\"b\",\"generation\":1}\n");
    CPPUNIT_ASSERT(ears_.wait_for("certificates/b/1.bundle"));
    CPPUNIT_ASSERT_EQUAL(std::ptrdiff_t{0}, std::ranges::count(ears_.all(), "certificates/a/1.bundle"));
  }

  void lines_are_read_for_their_certificate() {
    CPPUNIT_ASSERT_EQUAL(std::string("certificates/a/7.bundle"), key_of_event(R"({"certificate":"a","generation":7})"));
    CPPUNIT_ASSERT_EQUAL(std::string("certificates/a/"), key_of_event(R"({"certificate":"a"})"));
    CPPUNIT_ASSERT_EQUAL(std::string("certificates/a/"), key_of_event(R"({"certificate":"a","generation":-1})"));
    for (const char* const line :
         {"", "{", "[]", "7", R"({"certificate":""})", R"({"certificate":7})", R"({"generation":7})"}) {
      CPPUNIT_ASSERT_EQUAL(std::string(), key_of_event(line));
    }
  }

  void a_watch_that_has_gone_tells_nothing() {
    put_elsewhere("orders/a.order");
    auto held = watch("orders/");
    held.reset();
    put_elsewhere("orders/b.order");
    CPPUNIT_ASSERT(ears_.all().empty());
  }

  void a_prefix_must_be_a_directory() {
    CPPUNIT_ASSERT(!store_->watch("orders", [](const std::string&) {}));
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(StoreWatchTest);

}  // namespace evercert::test
