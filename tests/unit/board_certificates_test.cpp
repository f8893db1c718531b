#include <cppunit/extensions/HelperMacros.h>

#include <set>
#include <thread>

#include "board_steps.h"
#include "evercert/board.h"

namespace evercert {

using board_steps::end_of;
using board_steps::in_child;
using board_steps::mapped;
using board_steps::new_board;
using board_steps::RawBoard;

namespace {

std::string name_of(unsigned number) {
  return "host-" + std::to_string(number) + ".example.com";
}

}  // namespace

class BoardCertificatesTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(BoardCertificatesTest);
  CPPUNIT_TEST(a_new_name_gets_a_slot_and_keeps_it);
  CPPUNIT_TEST(a_generation_only_rises);
  CPPUNIT_TEST(a_reader_sees_what_another_mapping_published);
  CPPUNIT_TEST(a_reader_can_change_nothing);
  CPPUNIT_TEST(slots_out_of_range_are_without_effect);
  CPPUNIT_TEST(two_processes_never_give_one_name_two_slots);
  CPPUNIT_TEST(a_writer_killed_at_the_claim_blocks_nobody);
  CPPUNIT_TEST(half_a_name_is_never_matched_and_is_completed_by_its_next_writer);
  CPPUNIT_TEST(a_half_with_equal_beginning_belongs_to_whoever_completes_it);
  CPPUNIT_TEST(a_full_board_says_so);
  CPPUNIT_TEST(threads_add_publish_and_read_at_once);
  CPPUNIT_TEST(the_heartbeat_tells_time_and_leader);
  CPPUNIT_TEST_SUITE_END();

 public:
  void a_new_name_gets_a_slot_and_keeps_it() {
    const Descriptor file = new_board();
    Board board = mapped(file);
    CPPUNIT_ASSERT(!board.find("www.example.com"));
    const auto first = board.add("www.example.com");
    const auto second = board.add("www.example.org");
    CPPUNIT_ASSERT(first && second);
    CPPUNIT_ASSERT(*first != *second);
    CPPUNIT_ASSERT_EQUAL(*first, *board.add("www.example.com"));
    CPPUNIT_ASSERT_EQUAL(*first, *mapped(file, Board::Access::read).find("www.example.com"));
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{0}, board.generation(*first));
  }

  void a_generation_only_rises() {
    Board board = mapped(new_board());
    const CertificateSlot slot = *board.add("www.example.com");
    board.publish(slot, 7);
    board.publish(slot, 3);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{7}, board.generation(slot));
    board.publish(slot, 8);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{8}, board.generation(slot));
  }

  void a_reader_sees_what_another_mapping_published() {
    const Descriptor file = new_board();
    Board writer = mapped(file);
    const auto read_only = Board::read_only(file.get());
    CPPUNIT_ASSERT(read_only);
    const Board reader = mapped(*read_only, Board::Access::read);
    CPPUNIT_ASSERT(!reader.find("www.example.com"));
    const CertificateSlot slot = *writer.add("www.example.com");
    writer.publish(slot, 4);
    CPPUNIT_ASSERT_EQUAL(slot, *reader.find("www.example.com"));
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{4}, reader.generation(slot));
  }

  void a_reader_can_change_nothing() {
    const Descriptor file = new_board();
    Board writer = mapped(file);
    const CertificateSlot slot = *writer.add("www.example.com");
    Board reader = mapped(file, Board::Access::read);
    CPPUNIT_ASSERT(reader.add("www.example.org").error().kind == ErrorKind::internal);
    reader.publish(slot, 9);
    reader.beat(std::chrono::system_clock::now(), true);
    CPPUNIT_ASSERT(!reader.add_answer(ChallengeKind::http_01, "token", "answer", std::chrono::system_clock::now()));
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{0}, writer.generation(slot));
    CPPUNIT_ASSERT(!writer.find("www.example.org"));
    CPPUNIT_ASSERT(!writer.heartbeat().leader);
  }

  void slots_out_of_range_are_without_effect() {
    Board board = mapped(new_board());
    board.publish(Board::certificate_capacity, 5);
    board.publish(~CertificateSlot{0}, 5);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{0}, board.generation(Board::certificate_capacity));
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{0}, board.generation(~CertificateSlot{0}));
  }

  void two_processes_never_give_one_name_two_slots() {
    constexpr unsigned names = 2000;
    const Descriptor file = new_board();
    const pid_t upwards = in_child([&] {
      Board board = mapped(file);
      for (unsigned number = 0; number < names; ++number) board.publish(*board.add(name_of(number)), number + 1);
    });
    const pid_t downwards = in_child([&] {
      Board board = mapped(file);
      for (unsigned number = names; number > 0; --number) board.publish(*board.add(name_of(number - 1)), number);
    });
    CPPUNIT_ASSERT_EQUAL(0, end_of(upwards));
    CPPUNIT_ASSERT_EQUAL(0, end_of(downwards));
    const Board board = mapped(file, Board::Access::read);
    std::set<CertificateSlot> slots;
    for (unsigned number = 0; number < names; ++number) {
      const auto slot = board.find(name_of(number));
      CPPUNIT_ASSERT(slot);
      slots.insert(*slot);
      CPPUNIT_ASSERT_EQUAL(std::uint64_t{number} + 1, board.generation(*slot));
    }
    CPPUNIT_ASSERT_EQUAL(std::size_t{names}, slots.size());
    CPPUNIT_ASSERT_EQUAL(CertificateSlot{names - 1}, *slots.rbegin());
  }

  void a_writer_killed_at_the_claim_blocks_nobody() {
    const Descriptor file = new_board();
    const pid_t killed = in_child([&] {
      const RawBoard raw(file.get());
      raw->certificates[0].low.store(0x1234);
      ::raise(SIGKILL);
    });
    CPPUNIT_ASSERT(WIFSIGNALED(end_of(killed)));
    Board board = mapped(file);
    const auto slot = board.add("www.example.com");
    CPPUNIT_ASSERT(slot);
    CPPUNIT_ASSERT_EQUAL(CertificateSlot{1}, *slot);
    CPPUNIT_ASSERT_EQUAL(*slot, *mapped(file, Board::Access::read).find("www.example.com"));
  }

  void half_a_name_is_never_matched_and_is_completed_by_its_next_writer() {
    const Descriptor file = new_board();
    Board first = mapped(file);
    const CertificateSlot slot = *first.add("www.example.com");
    const RawBoard raw(file.get());
    raw->certificates[slot].high.store(0);
    Board later = mapped(file);
    CPPUNIT_ASSERT(!later.find("www.example.com"));
    CPPUNIT_ASSERT_EQUAL(slot, *later.add("www.example.com"));
    CPPUNIT_ASSERT(raw->certificates[slot].high.load() != 0);
  }

  void a_half_with_equal_beginning_belongs_to_whoever_completes_it() {
    const Descriptor file = new_board();
    Board board = mapped(file);
    const CertificateSlot slot = *board.add("www.example.com");
    const RawBoard raw(file.get());
    raw->certificates[slot].high.store(0x77);
    Board later = mapped(file);
    CPPUNIT_ASSERT(!later.find("www.example.com"));
    CPPUNIT_ASSERT_EQUAL(CertificateSlot{slot + 1}, *later.add("www.example.com"));
  }

  void a_full_board_says_so() {
    const Descriptor file = new_board();
    const RawBoard raw(file.get());
    std::uint64_t number = 1000;
    for (CertificateEntry& entry : raw->certificates) {
      entry.low.store(++number, std::memory_order_relaxed);
      entry.high.store(number, std::memory_order_relaxed);
    }
    Board board = mapped(file);
    const auto slot = board.add("www.example.com");
    CPPUNIT_ASSERT(!slot);
    CPPUNIT_ASSERT(slot.error().kind == ErrorKind::storage);
    CPPUNIT_ASSERT(slot.error().message.find("full") != std::string::npos);
  }

  void threads_add_publish_and_read_at_once() {
    constexpr unsigned names = 200;
    const Descriptor file = new_board();
    Board board = mapped(file);
    std::atomic<bool> fell{false};
    {
      std::jthread reader([&](const std::stop_token& stop) {
        std::uint64_t last = 0;
        while (!stop.stop_requested()) {
          const auto slot = board.find(name_of(0));
          if (!slot) continue;
          const std::uint64_t generation = board.generation(*slot);
          if (generation < last) fell = true;
          last = generation;
        }
      });
      std::vector<std::jthread> writers;
      for (unsigned writer = 0; writer < 3; ++writer)
        writers.emplace_back([&board, writer] {
          for (unsigned number = 0; number < names; ++number) {
            board.publish(*board.add(name_of((number * 7 + writer) % names)), number + 1);
            board.publish(*board.add(name_of(0)), number + 1);
          }
        });
    }
    CPPUNIT_ASSERT(!fell);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{names}, board.generation(*board.find(name_of(0))));
  }

  void the_heartbeat_tells_time_and_leader() {
    Board board = mapped(new_board());
    CPPUNIT_ASSERT(board.heartbeat().at == std::chrono::system_clock::time_point());
    const auto at = std::chrono::system_clock::time_point(std::chrono::milliseconds(1800000000123));
    board.beat(at, true);
    CPPUNIT_ASSERT(board.heartbeat().at == at);
    CPPUNIT_ASSERT(board.heartbeat().leader);
    board.beat(at, false);
    CPPUNIT_ASSERT(!board.heartbeat().leader);
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(BoardCertificatesTest);

}  // namespace evercert
