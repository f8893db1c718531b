#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>
#include <signal.h>

#include <array>
#include <thread>

#include "agent/store/file_store.h"
#include "agent/store/leader_locks.h"
#include "evercert/descriptor.h"
#include "fake/leader_of_tests.h"
#include "store_fixture.h"

namespace evercert::test {

using std::chrono::milliseconds;

class StoreLockTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(StoreLockTest);
  CPPUNIT_TEST(one_process_holds_a_lock);
  CPPUNIT_TEST(two_names_are_two_locks);
  CPPUNIT_TEST(one_process_cannot_hold_a_lock_twice);
  CPPUNIT_TEST(kill_frees_a_lock_and_wakes_who_waits);
  CPPUNIT_TEST(waiting_ends_when_it_is_stopped);
  CPPUNIT_TEST(writing_waits_for_the_turn_of_another_process_and_names_it);
  CPPUNIT_TEST(nothing_below_the_state_directory_is_a_lock);
  CPPUNIT_TEST_SUITE_END();

  TemporaryDirectory directory_;
  const std::unique_ptr<Store> store_ = open_store();

  [[nodiscard]] std::unique_ptr<Store> open_store() const {
    return make_file_store(Descriptor(open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), leader_of_tests(),
                           {});
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

  void kill_frees_a_lock_and_wakes_who_waits() {
    const pid_t holder = start_holder();
    std::unique_ptr<StoreLock> got;
    std::thread waiter([&] { got = take(*store_, std::chrono::minutes(1)); });
    kill(holder, SIGKILL);
    CPPUNIT_ASSERT_EQUAL(128 + SIGKILL, wait_for(holder));
    waiter.join();
    CPPUNIT_ASSERT(got != nullptr);
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

  void writing_waits_for_the_turn_of_another_process_and_names_it() {
    std::array<int, 2> ready{};
    CPPUNIT_ASSERT_EQUAL(0, pipe(ready.data()));
    const pid_t holder = start_child([&] {
      const auto turn = lock_leader_byte(leader_of_tests(), leader_byte_of("turn"), milliseconds(0), {});
      if (!turn || *turn == nullptr || write(ready[1], "x", 1) != 1) return 1;
      while (true) pause();
    });
    close(ready[1]);
    char said = 0;
    CPPUNIT_ASSERT_EQUAL(ssize_t{1}, read(ready[0], &said, 1));
    close(ready[0]);
    CPPUNIT_ASSERT_EQUAL(holder, holder_of_leader_byte(leader_of_tests(), leader_byte_of("turn")).value_or(-1));
    std::thread writer([&] { CPPUNIT_ASSERT(store_->put("a", bytes_of("one"), {}).has_value()); });
    kill(holder, SIGKILL);
    CPPUNIT_ASSERT_EQUAL(128 + SIGKILL, wait_for(holder));
    writer.join();
    CPPUNIT_ASSERT((*store_->get("a"))->value == bytes_of("one"));
  }

  void nothing_below_the_state_directory_is_a_lock() {
    const auto lock = take(*store_);
    CPPUNIT_ASSERT(store_->put("orders/a.order", bytes_of("one"), {}).has_value());
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_.path())) {
      const std::string name = entry.path().filename().string();
      CPPUNIT_ASSERT_MESSAGE(name, name == "orders" || name == "a.order");
    }
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(StoreLockTest);

}  // namespace evercert::test
