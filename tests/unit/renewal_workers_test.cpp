#include <cppunit/extensions/HelperMacros.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "agent/renewal/thread_workers.h"
#include "fake/fake_clock.h"

namespace evercert {
namespace {

using namespace std::chrono_literals;

class WorkersTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(WorkersTest);
  CPPUNIT_TEST(a_waiting_job_blocks_nobody);
  CPPUNIT_TEST(steps_of_one_job_never_overlap);
  CPPUNIT_TEST(a_poke_during_a_step_runs_it_once_more);
  CPPUNIT_TEST(a_turned_clock_makes_jobs_due);
  CPPUNIT_TEST(a_clock_that_was_turned_back_makes_every_job_look);
  CPPUNIT_TEST(a_clock_that_was_ahead_for_one_step_only_makes_every_job_look);
  CPPUNIT_TEST(the_most_urgent_goes_first);
  CPPUNIT_TEST(a_pause_lets_running_steps_end_and_begins_none);
  CPPUNIT_TEST(a_removed_job_does_not_run_again);
  CPPUNIT_TEST(what_is_added_while_the_last_step_runs_is_not_lost);
  CPPUNIT_TEST(a_group_that_never_ends_its_steps_keeps_nobody_else_out);
  CPPUNIT_TEST_SUITE_END();

 public:
  void a_waiting_job_blocks_nobody() {
    ThreadWorkers workers(clock_, 1);
    workers.add("waits", 0, clock_.now(), [this]() -> Workers::Again { return {clock_.now() + 1h}; });
    std::promise<void> done;
    workers.add("works", 1, clock_.now(), [&]() -> Workers::Again {
      done.set_value();
      return {std::nullopt, true};
    });
    CPPUNIT_ASSERT(done.get_future().wait_for(30s) == std::future_status::ready);
  }

  void steps_of_one_job_never_overlap() {
    std::atomic<int> inside{0};
    std::atomic<bool> overlapped{false};
    std::atomic<int> steps{0};
    std::promise<void> done;
    ThreadWorkers workers(clock_, 4);
    workers.add("job", 0, clock_.now(), [&]() -> Workers::Again {
      if (inside.fetch_add(1) != 0) overlapped = true;
      const int step = ++steps;
      inside.fetch_sub(1);
      if (step == 500) done.set_value();
      return {step >= 500 ? std::optional<Time>() : std::optional<Time>(clock_.now())};
    });
    for (int i = 0; i < 500; ++i) workers.poke("job");
    CPPUNIT_ASSERT(done.get_future().wait_for(30s) == std::future_status::ready);
    CPPUNIT_ASSERT(!overlapped);
  }

  void a_poke_during_a_step_runs_it_once_more() {
    std::promise<void> inside;
    std::promise<void> go_on;
    std::promise<void> second;
    std::atomic<int> steps{0};
    ThreadWorkers workers(clock_, 2);
    workers.add("job", 0, clock_.now(), [&]() -> Workers::Again {
      if (++steps == 1) {
        inside.set_value();
        go_on.get_future().wait();
      } else if (steps == 2) {
        second.set_value();
      }
      return {};
    });
    inside.get_future().wait();
    workers.poke("job");
    go_on.set_value();
    CPPUNIT_ASSERT(second.get_future().wait_for(30s) == std::future_status::ready);
  }

  void a_turned_clock_makes_jobs_due() {
    std::promise<void> done;
    ThreadWorkers workers(clock_, 1);
    workers.add("job", 0, clock_.now() + 24h, [&]() -> Workers::Again {
      done.set_value();
      return {};
    });
    clock_.advance(25h);
    workers.look_at_the_clock();
    CPPUNIT_ASSERT(done.get_future().wait_for(30s) == std::future_status::ready);
  }

  void a_clock_that_was_turned_back_makes_every_job_look() {
    constexpr auto years = 24h * 3650;
    clock_.advance(years);
    std::promise<void> first;
    std::promise<void> again;
    std::atomic<int> steps{0};
    ThreadWorkers workers(clock_, 1);
    workers.add("job", 0, clock_.now(), [&]() -> Workers::Again {
      const int step = ++steps;
      if (step == 1) first.set_value();
      if (step == 2) again.set_value();
      return {clock_.now() + 24h};
    });
    CPPUNIT_ASSERT(first.get_future().wait_for(30s) == std::future_status::ready);
    clock_.advance(-years);
    workers.look_at_the_clock();
    CPPUNIT_ASSERT(again.get_future().wait_for(30s) == std::future_status::ready);
  }

  void a_clock_that_was_ahead_for_one_step_only_makes_every_job_look() {
    JobTable table(2);
    const Time now = clock_.now();
    constexpr auto years = 24h * 3650;
    table.look_at_the_clock(now);
    table.add(
        "job", 0, now, []() -> Workers::Again { return {}; }, now);
    CPPUNIT_ASSERT_EQUAL(std::string("job"), table.begin().name);
    table.finish("job", {now + years + 1h}, now + years);
    CPPUNIT_ASSERT_EQUAL(std::size_t{0}, table.ready());
    table.look_at_the_clock(now + 1s);
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, table.ready());
  }

  void the_most_urgent_goes_first() {
    ThreadWorkers workers(clock_, 1);
    CPPUNIT_ASSERT(workers.pause(1s));
    std::string order;
    std::promise<void> done;
    for (const auto& [name, urgency] : {std::pair("c", 0.9), std::pair("a", 0.1), std::pair("b", 0.5)}) {
      workers.add(name, urgency, clock_.now(), [&, word = std::string(name)]() -> Workers::Again {
        order += word;
        if (order.size() == 3) done.set_value();
        return {};
      });
    }
    workers.resume();
    CPPUNIT_ASSERT(done.get_future().wait_for(30s) == std::future_status::ready);
    CPPUNIT_ASSERT_EQUAL(std::string("abc"), order);
  }

  void a_pause_lets_running_steps_end_and_begins_none() {
    std::promise<void> inside;
    std::promise<void> go_on;
    std::atomic<int> steps{0};
    ThreadWorkers workers(clock_, 1);
    workers.add("job", 0, clock_.now(), [&]() -> Workers::Again {
      if (++steps == 1) {
        inside.set_value();
        go_on.get_future().wait();
      }
      return {clock_.now()};
    });
    inside.get_future().wait();
    CPPUNIT_ASSERT(!workers.pause(1ms));
    CPPUNIT_ASSERT(!workers.idle());
    go_on.set_value();
    CPPUNIT_ASSERT(workers.pause(30s));
    CPPUNIT_ASSERT_EQUAL(1, steps.load());
  }

  void a_removed_job_does_not_run_again() {
    std::promise<void> inside;
    std::promise<void> go_on;
    std::atomic<int> steps{0};
    ThreadWorkers workers(clock_, 1);
    workers.add("job", 0, clock_.now(), [&]() -> Workers::Again {
      if (++steps == 1) {
        inside.set_value();
        go_on.get_future().wait();
      }
      return {clock_.now()};
    });
    inside.get_future().wait();
    workers.remove("job");
    go_on.set_value();
    CPPUNIT_ASSERT(workers.pause(30s));
    CPPUNIT_ASSERT_EQUAL(1, steps.load());
  }

  void what_is_added_while_the_last_step_runs_is_not_lost() {
    std::promise<void> inside;
    std::promise<void> go_on;
    std::promise<void> second;
    ThreadWorkers workers(clock_, 1);
    workers.add("job", 0, clock_.now(), [&]() -> Workers::Again {
      inside.set_value();
      go_on.get_future().wait();
      return {std::nullopt, true};
    });
    inside.get_future().wait();
    workers.add("job", 0, clock_.now(), [&]() -> Workers::Again {
      second.set_value();
      return {std::nullopt, true};
    });
    go_on.set_value();
    CPPUNIT_ASSERT(second.get_future().wait_for(30s) == std::future_status::ready);
  }

  void a_group_that_never_ends_its_steps_keeps_nobody_else_out() {
    constexpr unsigned threads = 8;
    std::promise<void> go_on;
    const std::shared_future<void> released(go_on.get_future());
    std::mutex mutex;
    std::condition_variable changed;
    std::map<std::string, unsigned> inside;
    std::promise<void> done;
    // Below what its steps touch, so that they end before it goes.
    ThreadWorkers workers(clock_, threads);
    const auto hang = [&](const std::string& group) {
      for (unsigned i = 0; i < 3 * threads; ++i) {
        workers.add(group + std::to_string(i), 0, clock_.now(),
                    [&, group, joined = std::make_shared<bool>(false)]() -> Workers::Again {
                      if (!std::exchange(*joined, true)) return {clock_.now(), false, std::nullopt, group};
                      {
                        const std::lock_guard lock(mutex);
                        ++inside[group];
                      }
                      changed.notify_all();
                      released.wait();
                      return {std::nullopt, true};
                    });
      }
    };
    const auto hangs = [&](const std::string& group, unsigned steps) {
      std::unique_lock lock(mutex);
      return changed.wait_for(lock, 30s, [&] { return inside[group] == steps; });
    };
    hang("silent");
    const bool first = hangs("silent", threads / 2);
    hang("slow");
    const bool second = hangs("slow", threads / 4);
    workers.add("alarms", 9, clock_.now(), [&]() -> Workers::Again {
      done.set_value();
      return {};
    });
    const bool ran = done.get_future().wait_for(30s) == std::future_status::ready;
    unsigned silent = 0;
    {
      const std::lock_guard lock(mutex);
      silent = inside["silent"];
    }
    go_on.set_value();
    CPPUNIT_ASSERT(first && second && ran);
    CPPUNIT_ASSERT_EQUAL(threads / 2, silent);
    CPPUNIT_ASSERT(hangs("silent", 3 * threads) && hangs("slow", 3 * threads));
  }

 private:
  FakeClock clock_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(WorkersTest);

}  // namespace
}  // namespace evercert
