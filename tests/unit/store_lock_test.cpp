#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>
#include <signal.h>

#include <array>
#include <thread>

#include "agent/store/file_store.h"
#include "evercert/descriptor.h"
#include "store_fixture.h"

namespace evercert::test {

using std::chrono::milliseconds;

class StoreLockTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(StoreLockTest);
  CPPUNIT_TEST(one_process_holds_a_lock);
  CPPUNIT_TEST(two_names_are_two_locks);
  CPPUNIT_TEST(one_process_cannot_hold_a_lock_twice);
  CPPUNIT_TEST(the_fence_rises_with_each_holder);
  CPPUNIT_TEST(kill_frees_a_lock_and_wakes_who_waits);
  CPPUNIT_TEST(waiting_ends_when_it_is_stopped);
  CPPUNIT_TEST(a_lock_whose_file_was_removed_is_lost);
  CPPUNIT_TEST(nothing_is_put_under_a_lost_lock);
  CPPUNIT_TEST_SUITE_END();

  TemporaryDirectory directory_;
  const std::unique_ptr<Store> store_ = open_store();

  [[nodiscard]] std::unique_ptr<Store> open_store() const {
    return make_file_store(Descriptor(open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), {});
  }
  static std::unique_ptr<StoreLock> take(Store& store, milliseconds wait = milliseconds(0)) {
    auto lock = store.lock("leader", wait, {});
    CPPUNIT_ASSERT(lock.has_value());
    return std::move(*lock);
  }

  // A child that holds the lock until it is killed; returns once it does.
  pid_t start_holder() {
    std::array<int, 2> ready{};
    CPPUNIT_ASSERT_EQUAL(0, pipe(ready.data()));
    const pid_t holder = start_child([&] {
      const auto lock = open_store()->lock("leader", milliseconds(0), {});
      if (!lock || *lock == nullptr || write(ready[1], "x", 1) != 1) return 1;
      while (true) pause();
    });
    close(ready[1]);
    char said = 0;
    CPPUNIT_ASSERT_EQUAL(ssize_t{1}, read(ready[0], &said, 1));
    close(ready[0]);
    return holder;
  }

  void one_process_holds_a_lock() {
    const pid_t holder = start_holder();
    CPPUNIT_ASSERT(take(*store_) == nullptr);
    CPPUNIT_ASSERT(take(*store_, milliseconds(30)) == nullptr);
    kill(holder, SIGKILL);
    CPPUNIT_ASSERT_EQUAL(128 + SIGKILL, wait_for(holder));
    CPPUNIT_ASSERT(take(*store_) != nullptr);
  }

  void two_names_are_two_locks() {
    const auto one = store_->lock("one", milliseconds(0), {});
    const auto two = store_->lock("../two", milliseconds(0), {});
    CPPUNIT_ASSERT(*one != nullptr && *two != nullptr);
  }

  void one_process_cannot_hold_a_lock_twice() {
    auto lock = take(*store_);
    CPPUNIT_ASSERT(lock != nullptr && take(*store_) == nullptr);
    lock.reset();
    CPPUNIT_ASSERT(take(*store_) != nullptr);
  }

  void the_fence_rises_with_each_holder() {
    std::uint64_t before = 0;
    for (int holder = 0; holder < 12; ++holder) {
      const std::uint64_t fence = take(*store_)->fence();
      CPPUNIT_ASSERT(fence > before);
      before = fence;
    }
    CPPUNIT_ASSERT_EQUAL(0, in_child([&] { return take(*open_store())->fence() == before + 1 ? 0 : 1; }));
  }

  void kill_frees_a_lock_and_wakes_who_waits() {
    const pid_t holder = start_holder();
    std::unique_ptr<StoreLock> got;
    std::thread waiter([&] { got = take(*store_, std::chrono::minutes(1)); });
    kill(holder, SIGKILL);
    CPPUNIT_ASSERT_EQUAL(128 + SIGKILL, wait_for(holder));
    waiter.join();
    CPPUNIT_ASSERT(got != nullptr && !got->lost());
  }

  void waiting_ends_when_it_is_stopped() {
    const auto held = take(*store_);
    std::stop_source stop;
    bool nothing = false;
    std::thread waiter([&] {
      const auto lock = store_->lock("leader", std::chrono::hours(1), stop.get_token());
      nothing = lock && *lock == nullptr;
    });
    stop.request_stop();
    waiter.join();
    CPPUNIT_ASSERT(nothing);
  }

  void remove_locks() const {
    for (const auto& entry : std::filesystem::directory_iterator(directory_ / "locks")) std::filesystem::remove(entry.path());
  }

  void a_lock_whose_file_was_removed_is_lost() {
    const auto lock = take(*store_);
    CPPUNIT_ASSERT(!lock->lost());
    remove_locks();
    CPPUNIT_ASSERT(lock->lost());
    const auto other = take(*store_);
    CPPUNIT_ASSERT(other != nullptr && !other->lost() && lock->lost());
  }

  void nothing_is_put_under_a_lost_lock() {
    const auto lock = take(*store_);
    CPPUNIT_ASSERT(store_->put("a", bytes_of("one"), {.guard = lock.get()}).has_value());
    remove_locks();
    const auto refused = store_->put("a", bytes_of("two"), {.guard = lock.get()});
    CPPUNIT_ASSERT(!refused && refused.error().kind == ErrorKind::storage);
    CPPUNIT_ASSERT((*store_->get("a"))->value == bytes_of("one"));
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(StoreLockTest);

}  // namespace evercert::test
