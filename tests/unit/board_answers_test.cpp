#include <cppunit/extensions/HelperMacros.h>

#include <thread>

#include "board_steps.h"
#include "evercert/board.h"

namespace evercert {

using board_steps::end_of;
using board_steps::in_child;
using board_steps::mapped;
using board_steps::new_board;
using board_steps::RawBoard;

class BoardAnswersTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(BoardAnswersTest);
  CPPUNIT_TEST(an_answer_is_found_by_kind_and_whole_token);
  CPPUNIT_TEST(an_equal_token_replaces_the_answer_in_its_slot);
  CPPUNIT_TEST(a_removed_answer_is_gone_and_its_slot_is_used_again);
  CPPUNIT_TEST(server_names_compare_without_case_and_trailing_dot);
  CPPUNIT_TEST(the_longest_token_and_answer_fit_and_one_byte_more_is_refused);
  CPPUNIT_TEST(a_full_table_says_so);
  CPPUNIT_TEST(sweeping_frees_what_has_expired_and_nothing_else);
  CPPUNIT_TEST(sweeping_frees_the_claim_of_a_killed_writer);
  CPPUNIT_TEST(sweeping_leaves_the_claim_of_a_living_writer);
  CPPUNIT_TEST(an_answer_that_was_being_written_is_never_shown);
  CPPUNIT_TEST(lengths_in_memory_are_not_believed);
  CPPUNIT_TEST(two_processes_claim_different_slots);
  CPPUNIT_TEST(readers_never_see_a_mixture_of_two_answers);
  CPPUNIT_TEST(the_report_page_counts_hits_and_loads);
  CPPUNIT_TEST_SUITE_END();

 public:
  void setUp() override {
    file_ = new_board();
    board_ = std::make_unique<Board>(mapped(file_));
  }

  void tearDown() override { board_.reset(); }

  void an_answer_is_found_by_kind_and_whole_token() {
    add("token-1", "token-1.thumbprint");
    const auto found = board_->find_answer(ChallengeKind::http_01, "token-1");
    CPPUNIT_ASSERT(found);
    CPPUNIT_ASSERT_EQUAL(std::string("token-1.thumbprint"), found->answer);
    CPPUNIT_ASSERT(!board_->find_answer(ChallengeKind::tls_alpn_01, "token-1"));
    CPPUNIT_ASSERT(!board_->find_answer(ChallengeKind::http_01, "token"));
    CPPUNIT_ASSERT(!board_->find_answer(ChallengeKind::http_01, "token-1 "));
    CPPUNIT_ASSERT(!board_->find_answer(ChallengeKind::http_01, "TOKEN-1"));
    CPPUNIT_ASSERT(!board_->find_answer(ChallengeKind::http_01, ""));
    CPPUNIT_ASSERT(!board_->find_answer(ChallengeKind::http_01, std::string(100000, 'a')));
  }

  void an_equal_token_replaces_the_answer_in_its_slot() {
    const std::uint32_t slot = add("token", "a rather long first answer");
    CPPUNIT_ASSERT_EQUAL(slot, add("token", "second"));
    CPPUNIT_ASSERT_EQUAL(std::string("second"), board_->find_answer(ChallengeKind::http_01, "token")->answer);
  }

  void a_removed_answer_is_gone_and_its_slot_is_used_again() {
    const std::uint32_t slot = add("first", "1");
    add("second", "2");
    board_->remove_answer(ChallengeKind::http_01, "first");
    CPPUNIT_ASSERT(!board_->find_answer(ChallengeKind::http_01, "first"));
    CPPUNIT_ASSERT(board_->find_answer(ChallengeKind::http_01, "second"));
    board_->remove_answer(ChallengeKind::http_01, "unknown");
    CPPUNIT_ASSERT_EQUAL(slot, add("third", "3"));
  }

  void server_names_compare_without_case_and_trailing_dot() {
    CPPUNIT_ASSERT(board_->add_answer(ChallengeKind::tls_alpn_01, "Www.Example.com.", "digest", later()));
    CPPUNIT_ASSERT(board_->find_answer(ChallengeKind::tls_alpn_01, "www.example.COM"));
    board_->remove_answer(ChallengeKind::tls_alpn_01, "WWW.example.com.");
    CPPUNIT_ASSERT(!board_->find_answer(ChallengeKind::tls_alpn_01, "www.example.com"));
  }

  void the_longest_token_and_answer_fit_and_one_byte_more_is_refused() {
    const std::string token(Board::longest_token, 't');
    const std::string answer(Board::longest_answer, 'a');
    add(token, answer);
    CPPUNIT_ASSERT_EQUAL(answer, board_->find_answer(ChallengeKind::http_01, token)->answer);
    CPPUNIT_ASSERT(board_->add_answer(ChallengeKind::http_01, token + "t", answer, later()).error().kind ==
                   ErrorKind::internal);
    CPPUNIT_ASSERT(board_->add_answer(ChallengeKind::http_01, token, answer + "a", later()).error().kind ==
                   ErrorKind::internal);
    CPPUNIT_ASSERT(board_->add_answer(ChallengeKind::http_01, "", answer, later()).error().kind == ErrorKind::internal);
  }

  void a_full_table_says_so() {
    const RawBoard raw(file_.get());
    for (ChallengeEntry& entry : raw->challenges) entry.mark.store(answer_live);
    const auto refused = board_->add_answer(ChallengeKind::http_01, "token", "answer", later());
    CPPUNIT_ASSERT(!refused);
    CPPUNIT_ASSERT(refused.error().kind == ErrorKind::storage);
    raw->challenges[Board::challenge_capacity - 1].mark.store(answer_free);
    CPPUNIT_ASSERT_EQUAL(std::uint32_t{Board::challenge_capacity - 1}, add("token", "answer"));
  }

  void sweeping_frees_what_has_expired_and_nothing_else() {
    const auto now = std::chrono::system_clock::now();
    CPPUNIT_ASSERT(board_->add_answer(ChallengeKind::http_01, "old", "1", now - std::chrono::seconds(1)));
    CPPUNIT_ASSERT(board_->add_answer(ChallengeKind::http_01, "young", "2", now + std::chrono::minutes(1)));
    board_->sweep_answers(now);
    CPPUNIT_ASSERT(!board_->find_answer(ChallengeKind::http_01, "old"));
    CPPUNIT_ASSERT(board_->find_answer(ChallengeKind::http_01, "young"));
  }

  void sweeping_frees_the_claim_of_a_killed_writer() {
    const std::uint32_t slot = add("token", "answer");
    const pid_t killed = in_child([&] {
      const RawBoard raw(file_.get());
      raw->challenges[slot].mark.store(answer_mark(static_cast<std::uint32_t>(::getpid())));
      raw->challenges[slot].sequence.fetch_add(1);
      ::raise(SIGKILL);
    });
    CPPUNIT_ASSERT(WIFSIGNALED(end_of(killed)));
    CPPUNIT_ASSERT(!board_->find_answer(ChallengeKind::http_01, "token"));
    CPPUNIT_ASSERT(slot != add("other", "x"));
    board_->sweep_answers(std::chrono::system_clock::now());
    CPPUNIT_ASSERT_EQUAL(slot, add("token", "again"));
    CPPUNIT_ASSERT_EQUAL(std::string("again"), board_->find_answer(ChallengeKind::http_01, "token")->answer);
  }

  void sweeping_leaves_the_claim_of_a_living_writer() {
    const RawBoard raw(file_.get());
    const std::uint32_t slot = add("token", "answer");
    raw->challenges[slot].mark.store(answer_mark(static_cast<std::uint32_t>(::getppid())));
    board_->sweep_answers(std::chrono::system_clock::now());
    CPPUNIT_ASSERT_EQUAL(answer_mark(static_cast<std::uint32_t>(::getppid())), raw->challenges[slot].mark.load());
  }

  void an_answer_that_was_being_written_is_never_shown() {
    const std::uint32_t slot = add("token", "answer");
    const RawBoard raw(file_.get());
    raw->challenges[slot].sequence.fetch_add(1);
    CPPUNIT_ASSERT(!board_->find_answer(ChallengeKind::http_01, "token"));
    raw->challenges[slot].sequence.fetch_add(1);
    CPPUNIT_ASSERT(board_->find_answer(ChallengeKind::http_01, "token"));
  }

  void lengths_in_memory_are_not_believed() {
    const std::uint32_t slot = add("token", "answer");
    const RawBoard raw(file_.get());
    raw->challenges[slot].shape.store(~std::uint64_t{0});
    raw->challenges_used.store(~std::uint32_t{0});
    CPPUNIT_ASSERT(!board_->find_answer(ChallengeKind::http_01, "token"));
    board_->sweep_answers(std::chrono::system_clock::now());
  }

  void two_processes_claim_different_slots() {
    constexpr unsigned tokens = 400;
    const auto fill = [&](const std::string& prefix) {
      Board board = mapped(file_);
      for (unsigned number = 0; number < tokens; ++number) {
        const std::string token = prefix + std::to_string(number);
        if (!board.add_answer(ChallengeKind::http_01, token, token + ".answer", later())) ::_exit(2);
      }
    };
    const pid_t first = in_child([&] { fill("first-"); });
    const pid_t second = in_child([&] { fill("second-"); });
    CPPUNIT_ASSERT_EQUAL(0, end_of(first));
    CPPUNIT_ASSERT_EQUAL(0, end_of(second));
    for (unsigned number = 0; number < tokens; ++number)
      for (const std::string prefix : {"first-", "second-"}) {
        const std::string token = prefix + std::to_string(number);
        const auto found = board_->find_answer(ChallengeKind::http_01, token);
        CPPUNIT_ASSERT(found);
        CPPUNIT_ASSERT_EQUAL(token + ".answer", found->answer);
      }
  }

  void readers_never_see_a_mixture_of_two_answers() {
    std::atomic<bool> mixed{false};
    std::atomic<unsigned> found{0};
    {
      std::vector<std::jthread> readers;
      for (unsigned reader = 0; reader < 2; ++reader)
        readers.emplace_back([&](const std::stop_token& stop) {
          while (!stop.stop_requested())
            if (const auto answer = board_->find_answer(ChallengeKind::http_01, "token")) {
              ++found;
              if (answer->answer.find_first_not_of(answer->answer.front()) != std::string::npos) mixed = true;
            }
        });
      for (unsigned round = 0; found == 0 && round < 10000000; ++round) add("token", std::string(100, 'a'));
      for (unsigned round = 0; round < 3000; ++round) {
        add("token", std::string(1 + round % Board::longest_answer, static_cast<char>('a' + round % 26)));
        if (round % 16 == 0) {
          board_->remove_answer(ChallengeKind::http_01, "token");
          add("other", "zy");
          board_->remove_answer(ChallengeKind::http_01, "other");
        }
      }
    }
    CPPUNIT_ASSERT(!mixed);
    CPPUNIT_ASSERT(found > 0);
  }

  void the_report_page_counts_hits_and_loads() {
    const auto file = ReportPage::create();
    CPPUNIT_ASSERT(file);
    auto worker = ReportPage::map(file->get());
    auto agent = ReportPage::map(file->get());
    CPPUNIT_ASSERT(worker && agent);
    worker->hit(3);
    worker->hit(3);
    worker->hit(Board::challenge_capacity);
    CPPUNIT_ASSERT_EQUAL(2U, agent->hits(3));
    CPPUNIT_ASSERT_EQUAL(0U, agent->hits(Board::challenge_capacity));
    agent->reset_hits(3);
    CPPUNIT_ASSERT_EQUAL(0U, agent->hits(3));
    worker->loaded(5, 9);
    worker->loaded(5, 8);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{9}, agent->loaded(5));
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{0}, agent->loaded(Board::certificate_capacity));
  }

 private:
  static std::chrono::system_clock::time_point later() { return std::chrono::system_clock::now() + std::chrono::hours(1); }

  std::uint32_t add(const std::string& token, const std::string& answer) {
    const auto slot = board_->add_answer(ChallengeKind::http_01, token, answer, later());
    CPPUNIT_ASSERT_MESSAGE(slot ? "" : slot.error().message, slot);
    return *slot;
  }

  Descriptor file_;
  std::unique_ptr<Board> board_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(BoardAnswersTest);

}  // namespace evercert
