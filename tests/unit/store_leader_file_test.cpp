#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "evercert/descriptor.h"
#include "evercert/leader_file.h"
#include "store_fixture.h"

namespace evercert::test {

namespace fs = std::filesystem;

class StoreLeaderFileTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(StoreLeaderFileTest);
  CPPUNIT_TEST(what_was_reached_is_kept_and_never_lowered);
  CPPUNIT_TEST(another_reader_sees_what_the_leader_writes);
  CPPUNIT_TEST(a_torn_write_leaves_the_number_before);
  CPPUNIT_TEST(a_name_that_was_torn_at_its_first_write_is_unknown_and_written_anew);
  CPPUNIT_TEST(a_tail_that_was_cut_off_is_written_over);
  CPPUNIT_TEST(many_names_are_told_apart);
  CPPUNIT_TEST(a_file_of_somebody_else_is_left_alone);
  CPPUNIT_TEST(what_others_may_open_is_refused);
  CPPUNIT_TEST_SUITE_END();

  static constexpr std::size_t entry = 64;
  TemporaryDirectory directory_;
  const std::string path_ = directory_ / "leader";

  [[nodiscard]] Descriptor open_it() const { return open_leader_file(directory_.path()).value(); }
  void damage(std::size_t at) const {
    Bytes content = file_bytes(path_);
    content.at(at) ^= 1U;
    const Descriptor file(::open(path_.c_str(), O_WRONLY | O_CLOEXEC));
    CPPUNIT_ASSERT_EQUAL(static_cast<ssize_t>(content.size()), ::write(file.get(), content.data(), content.size()));
  }

 public:
  void what_was_reached_is_kept_and_never_lowered() {
    {
      const Descriptor file = open_it();
      ReachedNumbers reached(file.get());
      CPPUNIT_ASSERT_EQUAL(std::uint64_t{0}, reached.of("a.test"));
      for (const std::uint64_t generation : {1U, 2U, 7U, 3U}) CPPUNIT_ASSERT(reached.raise("a.test", generation).has_value());
      CPPUNIT_ASSERT_EQUAL(std::uint64_t{7}, reached.of("a.test"));
    }
    const Descriptor file = open_it();
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{7}, ReachedNumbers(file.get()).of("a.test"));
    CPPUNIT_ASSERT_EQUAL(std::uintmax_t{2 * entry}, fs::file_size(path_));
    struct stat facts {};
    CPPUNIT_ASSERT(stat(path_.c_str(), &facts) == 0 && (facts.st_mode & 07777) == 0600);
  }

  void another_reader_sees_what_the_leader_writes() {
    const Descriptor file = open_it();
    const Descriptor also = open_it();
    ReachedNumbers leader(file.get());
    ReachedNumbers follower(also.get());
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{0}, follower.of("a.test"));
    CPPUNIT_ASSERT(leader.raise("a.test", 4).has_value());
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{4}, follower.of("a.test"));
    CPPUNIT_ASSERT(leader.raise("b.test", 1).has_value() && leader.raise("a.test", 5).has_value());
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{5}, follower.of("a.test"));
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{1}, follower.of("b.test"));
  }

  void a_torn_write_leaves_the_number_before() {
    const Descriptor file = open_it();
    CPPUNIT_ASSERT(ReachedNumbers(file.get()).raise("a.test", 1).has_value());
    CPPUNIT_ASSERT(ReachedNumbers(file.get()).raise("a.test", 2).has_value());
    damage(entry + 32 + 20);  // the second slot
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{1}, ReachedNumbers(file.get()).of("a.test"));
    CPPUNIT_ASSERT(ReachedNumbers(file.get()).raise("a.test", 3).has_value());
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{3}, ReachedNumbers(file.get()).of("a.test"));
    CPPUNIT_ASSERT_EQUAL(std::uintmax_t{2 * entry}, fs::file_size(path_));
  }

  void a_name_that_was_torn_at_its_first_write_is_unknown_and_written_anew() {
    const Descriptor file = open_it();
    CPPUNIT_ASSERT(ReachedNumbers(file.get()).raise("a.test", 5).has_value());
    damage(entry + 3);
    ReachedNumbers reached(file.get());
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{0}, reached.of("a.test"));
    CPPUNIT_ASSERT(reached.raise("a.test", 6).has_value());
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{6}, ReachedNumbers(file.get()).of("a.test"));
  }

  void a_tail_that_was_cut_off_is_written_over() {
    const Descriptor file = open_it();
    CPPUNIT_ASSERT(ReachedNumbers(file.get()).raise("a.test", 5).has_value());
    for (const std::uintmax_t size : {2 * entry + 10, entry, std::size_t{9}, std::size_t{0}}) {
      fs::resize_file(path_, size);
      ReachedNumbers reached(file.get());
      CPPUNIT_ASSERT(reached.raise("b.test", 2).has_value());
      CPPUNIT_ASSERT_EQUAL(std::uint64_t{2}, ReachedNumbers(file.get()).of("b.test"));
    }
  }

  void many_names_are_told_apart() {
    const Descriptor file = open_it();
    ReachedNumbers reached(file.get());
    constexpr unsigned count = 1500;
    for (unsigned number = 0; number < count; ++number)
      CPPUNIT_ASSERT(reached.raise("host" + std::to_string(number) + ".test", number + 1).has_value());
    ReachedNumbers again(file.get());
    for (unsigned number = 0; number < count; ++number)
      CPPUNIT_ASSERT_EQUAL(std::uint64_t{number + 1}, again.of("host" + std::to_string(number) + ".test"));
  }

  void a_file_of_somebody_else_is_left_alone() {
    write_bytes(path_, Bytes(1000, 'x'));
    CPPUNIT_ASSERT_EQUAL(0, chmod(path_.c_str(), 0600));
    const Descriptor file = open_it();
    ReachedNumbers reached(file.get());
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{0}, reached.of("a.test"));
    const auto refused = reached.raise("a.test", 1);
    CPPUNIT_ASSERT(!refused && refused.error().message.find("leader") != std::string::npos);
    CPPUNIT_ASSERT(file_bytes(path_) == Bytes(1000, 'x'));
  }

  void what_others_may_open_is_refused() {
    const auto is_refused = [this] { return !open_leader_file(directory_.path()) && !existing_leader_file(directory_.path()); };
    const auto missing = existing_leader_file(directory_.path());
    CPPUNIT_ASSERT(missing && !*missing && !fs::exists(path_));
    write_bytes(path_, {});
    CPPUNIT_ASSERT_EQUAL(0, chmod(path_.c_str(), 0644));
    CPPUNIT_ASSERT(is_refused());
    CPPUNIT_ASSERT_EQUAL(0, chmod(path_.c_str(), 0660));  // as a volume's group gets it
    CPPUNIT_ASSERT(!is_refused());
    struct stat facts {};
    CPPUNIT_ASSERT(stat(path_.c_str(), &facts) == 0 && (facts.st_mode & 07777) == 0600);
    fs::create_hard_link(path_, directory_ / "other");  // as some ways to make a copy of a folder leave it
    CPPUNIT_ASSERT(!is_refused());
    fs::remove(path_);
    fs::create_symlink(directory_ / "other", path_);
    CPPUNIT_ASSERT(is_refused());
    fs::remove(path_);
    CPPUNIT_ASSERT_EQUAL(0, mkfifo(path_.c_str(), 0600));
    CPPUNIT_ASSERT(is_refused());
    if (geteuid() != 0) return;
    fs::remove(path_);
    write_bytes(path_, {});
    CPPUNIT_ASSERT(chmod(path_.c_str(), 0600) == 0 && chown(path_.c_str(), 65534, 65534) == 0);
    CPPUNIT_ASSERT(is_refused());
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(StoreLeaderFileTest);

}  // namespace evercert::test
