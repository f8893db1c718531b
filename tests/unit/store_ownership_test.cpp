#include <cppunit/extensions/HelperMacros.h>
#include <sys/stat.h>

#include "serving/store/ownership.h"
#include "store_fixture.h"

namespace evercert::test {

namespace fs = std::filesystem;

// Each of these needs root's rights, since without them nothing is told apart.
class StoreOwnershipTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(StoreOwnershipTest);
  CPPUNIT_TEST(what_root_alone_may_write_to_is_accepted_also_before_it_exists);
  CPPUNIT_TEST(a_directory_of_another_user_is_refused_with_the_command);
  CPPUNIT_TEST(a_directory_that_others_may_write_to_is_refused);
  CPPUNIT_TEST(what_is_roots_and_open_to_a_group_is_taken_back);
  CPPUNIT_TEST(a_parent_of_another_user_is_refused);
  CPPUNIT_TEST(in_a_sticky_directory_what_is_named_must_be_of_root);
  CPPUNIT_TEST(a_link_is_followed_and_where_it_leads_is_looked_at);
  CPPUNIT_TEST(links_that_lead_in_a_circle_come_to_an_end);
  CPPUNIT_TEST(without_root_nothing_is_refused);
  CPPUNIT_TEST_SUITE_END();

  static constexpr uid_t stranger = 65534;
  TemporaryDirectory directory_;
  const std::string path_ = directory_ / "evercert";

  static std::string refusal(const std::string& path) {
    const auto checked = check_only_root_writes(path, "the state directory");
    return checked ? "" : checked.error().message;
  }
  static void expect(const std::string& path, const std::string& words) {
    const std::string said = refusal(path);
    CPPUNIT_ASSERT_MESSAGE(said, said.find(words) != std::string::npos);
  }
  static void give_away(const std::string& path) { CPPUNIT_ASSERT_EQUAL(0, lchown(path.c_str(), stranger, stranger)); }
  static void set_mode(const std::string& path, mode_t mode) { CPPUNIT_ASSERT_EQUAL(0, chmod(path.c_str(), mode)); }

 public:
  void what_root_alone_may_write_to_is_accepted_also_before_it_exists() {
    if (geteuid() != 0) return;
    CPPUNIT_ASSERT_EQUAL(std::string(), refusal(path_));
    fs::create_directory(path_);
    CPPUNIT_ASSERT_EQUAL(std::string(), refusal(path_));
    CPPUNIT_ASSERT_EQUAL(std::string(), refusal(path_ + "/../evercert/./"));
  }

  void a_directory_of_another_user_is_refused_with_the_command() {
    if (geteuid() != 0) return;
    fs::create_directory(path_);
    give_away(path_);
    expect(path_, "(65534) and has mode 0755");
    expect(path_, "run: chown root " + path_ + ",");
  }

  void a_directory_that_others_may_write_to_is_refused() {
    if (geteuid() != 0) return;
    fs::create_directory(path_);
    for (const mode_t mode : {0777U, 0757U, 01777U}) {
      set_mode(path_, mode);
      expect(path_, "run: chmod go-w " + path_ + ",");
    }
  }

  void what_is_roots_and_open_to_a_group_is_taken_back() {
    if (geteuid() != 0) return;
    fs::create_directories(path_ + "/state");
    for (const mode_t mode : {0775U, 02775U, 01770U}) {
      set_mode(path_, mode);
      CPPUNIT_ASSERT_EQUAL(std::string(), refusal(path_));
      struct stat facts {};
      CPPUNIT_ASSERT(stat(path_.c_str(), &facts) == 0);
      CPPUNIT_ASSERT_EQUAL(mode & ~mode_t{S_IWGRP}, facts.st_mode & 07777);
    }
    // Not so above it: that is somebody else's to decide.
    set_mode(path_, 0775);
    expect(path_ + "/state", "chmod go-w " + path_ + ",");
  }

  void a_parent_of_another_user_is_refused() {
    if (geteuid() != 0) return;
    fs::create_directories(path_ + "/inner/state");
    give_away(path_ + "/inner");
    expect(path_ + "/inner/state", "chown root " + path_ + "/inner,");
    // Nothing below it need exist.
    expect(path_ + "/inner/state/not/there", "chown root " + path_ + "/inner,");
  }

  void in_a_sticky_directory_what_is_named_must_be_of_root() {
    if (geteuid() != 0) return;
    fs::create_directories(path_ + "/inner");
    set_mode(path_, 01777);
    CPPUNIT_ASSERT_EQUAL(std::string(), refusal(path_ + "/inner"));
    fs::create_symlink("inner", path_ + "/link");
    CPPUNIT_ASSERT_EQUAL(std::string(), refusal(path_ + "/link"));
    give_away(path_ + "/link");
    expect(path_ + "/link", "chown root " + path_ + "/link");
    set_mode(path_, 0777);
    expect(path_ + "/inner", "chmod go-w " + path_ + ",");
  }

  void a_link_is_followed_and_where_it_leads_is_looked_at() {
    if (geteuid() != 0) return;
    fs::create_directories(path_ + "/theirs/state");
    give_away(path_ + "/theirs");
    fs::create_symlink(path_ + "/theirs/state", directory_ / "absolute");
    fs::create_symlink("evercert/theirs/state", directory_ / "relative");
    expect(directory_ / "absolute", "chown root " + path_ + "/theirs,");
    expect(directory_ / "relative", "chown root " + path_ + "/theirs,");
  }

  void links_that_lead_in_a_circle_come_to_an_end() {
    if (geteuid() != 0) return;
    fs::create_symlink("two", directory_ / "one");
    fs::create_symlink("one", directory_ / "two");
    expect(directory_ / "one", "cannot be used");
  }

  void without_root_nothing_is_refused() {
    fs::create_directory(path_);
    set_mode(path_, 0777);
    CPPUNIT_ASSERT_EQUAL(0, in_child([&] {
                           if (geteuid() == 0 && setresuid(stranger, stranger, stranger) != 0) return 2;
                           return refusal(path_).empty() ? 0 : 1;
                         }));
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(StoreOwnershipTest);

}  // namespace evercert::test
