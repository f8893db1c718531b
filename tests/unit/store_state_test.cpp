#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <map>

#include "serving/base/limits.h"
#include "store_fixture.h"

namespace evercert::test {

namespace fs = std::filesystem;

// From here on this process has no openat2, as on old kernels and under some sandboxes.
static bool forbid_openat2(unsigned answer) {
  std::array<sock_filter, 4> rules{
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | answer),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(rules.size()), rules.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

class StoreStateTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(StoreStateTest);
  CPPUNIT_TEST(preparing_makes_two_empty_directories_and_nothing_else);
  CPPUNIT_TEST(preparing_gives_the_inner_directory_to_the_agent);
  CPPUNIT_TEST(an_inner_directory_of_another_user_with_contents_is_refused);
  CPPUNIT_TEST(an_inner_directory_that_is_a_link_is_refused);
  CPPUNIT_TEST(a_missing_parent_is_named);
  CPPUNIT_TEST(the_seal_key_is_made_once_and_kept);
  CPPUNIT_TEST(racing_starters_get_the_same_key);
  CPPUNIT_TEST(a_seal_key_that_others_may_read_is_refused);
  CPPUNIT_TEST(a_seal_key_that_a_volume_gave_to_its_group_is_taken_back);
  CPPUNIT_TEST(a_seal_key_in_a_directory_open_to_all_is_refused);
  CPPUNIT_TEST(a_seal_key_of_a_stranger_is_refused);
  CPPUNIT_TEST(a_seal_key_that_is_a_link_or_a_pipe_is_refused);
  CPPUNIT_TEST(a_damaged_seal_key_is_refused_and_never_replaced);
  CPPUNIT_TEST(looking_for_a_seal_key_makes_none);
  CPPUNIT_TEST(files_are_read_below_the_state_directory);
  CPPUNIT_TEST(links_are_never_followed);
  CPPUNIT_TEST(links_are_never_followed_without_openat2);
  CPPUNIT_TEST(a_pipe_does_not_hold_up_the_reader);
  CPPUNIT_TEST(names_become_safe_file_names);
  CPPUNIT_TEST(different_names_have_different_file_names);
  CPPUNIT_TEST(generations_are_listed_newest_first);
  CPPUNIT_TEST_SUITE_END();

  TemporaryDirectory directory_;
  const std::string path_ = directory_ / "evercert";

  void prepare() const { CPPUNIT_ASSERT(prepare_state_directories(path_, geteuid(), getegid()).has_value()); }

  static unsigned mode_of(const std::string& path) {
    struct stat status {};
    return lstat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
  }

  void preparing_makes_two_empty_directories_and_nothing_else() {
    const mode_t before = umask(077);
    prepare();
    prepare();
    umask(before);
    CPPUNIT_ASSERT_EQUAL(0755U, mode_of(path_));
    CPPUNIT_ASSERT_EQUAL(0750U, mode_of(path_ + "/state"));
    const auto all = std::distance(fs::recursive_directory_iterator(path_), fs::recursive_directory_iterator());
    CPPUNIT_ASSERT_EQUAL(std::ptrdiff_t{1}, all);
  }

  void preparing_gives_the_inner_directory_to_the_agent() {
    if (geteuid() != 0) return;
    prepare();  // for root: a check ran before the user was chosen
    CPPUNIT_ASSERT(prepare_state_directories(path_, 65534, 65533).has_value());
    struct stat status {};
    CPPUNIT_ASSERT_EQUAL(0, stat((path_ + "/state").c_str(), &status));
    CPPUNIT_ASSERT(status.st_uid == 65534 && status.st_gid == 65533);
    CPPUNIT_ASSERT_EQUAL(0, stat(path_.c_str(), &status));
    CPPUNIT_ASSERT_EQUAL(uid_t{0}, status.st_uid);
  }

  void an_inner_directory_of_another_user_with_contents_is_refused() {
    if (geteuid() != 0) return;
    prepare();
    write_bytes(path_ + "/state/status.json", bytes_of("{}"));
    const auto refused = prepare_state_directories(path_, 65534, 65534);
    CPPUNIT_ASSERT(!refused && refused.error().message.find("one directory serves one user") != std::string::npos);
  }

  void an_inner_directory_that_is_a_link_is_refused() {
    fs::create_directory(path_);
    fs::create_directory_symlink("/etc", path_ + "/state");
    CPPUNIT_ASSERT(prepare_state_directories(path_, 65534, 65534).error().kind == ErrorKind::storage);
    CPPUNIT_ASSERT(!StateReader::open(path_));
    struct stat status {};
    CPPUNIT_ASSERT(stat("/etc", &status) == 0 && status.st_uid == 0);
  }

  void a_missing_parent_is_named() {
    const auto failed = prepare_state_directories(directory_ / "no/such", 0, 0);
    CPPUNIT_ASSERT(!failed && failed.error().message.find("no/such") != std::string::npos);
  }

  void the_seal_key_is_made_once_and_kept() {
    prepare();
    const auto made = seal_keys(path_);
    const auto again = seal_keys(path_);
    CPPUNIT_ASSERT(made && again);
    CPPUNIT_ASSERT_EQUAL(made->serving.id, again->serving.id);
    CPPUNIT_ASSERT(std::ranges::equal(made->agent.key.view(), again->agent.key.view()));
    CPPUNIT_ASSERT(!std::ranges::equal(made->agent.key.view(), made->serving.key.view()));
    CPPUNIT_ASSERT_EQUAL(0600U, mode_of(path_ + "/seal.key"));
    CPPUNIT_ASSERT_EQUAL(std::ptrdiff_t{2}, std::distance(fs::directory_iterator(path_), fs::directory_iterator()));
  }

  void racing_starters_get_the_same_key() {
    for (int round = 0; round < 10; ++round) {
      const std::string path = directory_ / ("race" + std::to_string(round));
      CPPUNIT_ASSERT(prepare_state_directories(path, geteuid(), getegid()).has_value());
      std::array<int, 2> gate{};
      CPPUNIT_ASSERT_EQUAL(0, pipe(gate.data()));
      std::vector<pid_t> starters;
      for (int number = 0; number < 6; ++number) {
        starters.push_back(start_child([&] {
          close(gate[1]);
          char nothing = 0;
          if (read(gate[0], &nothing, 1) != 0) return 1;  // end of file: all may run
          const auto keys = seal_keys(path);
          if (!keys) return 1;
          write_bytes(path + "/state/" + std::to_string(number), bytes_of(keys->serving.id));
          return 0;
        }));
      }
      close(gate[0]);
      close(gate[1]);
      for (const pid_t starter : starters) CPPUNIT_ASSERT_EQUAL(0, wait_for(starter));
      const std::string id = seal_keys(path)->serving.id;
      for (int number = 0; number < 6; ++number) {
        CPPUNIT_ASSERT(file_bytes(path + "/state/" + std::to_string(number)) == bytes_of(id));
      }
      CPPUNIT_ASSERT_EQUAL(std::ptrdiff_t{2}, std::distance(fs::directory_iterator(path), fs::directory_iterator()));
    }
  }

  void a_seal_key_that_others_may_read_is_refused() {
    prepare();
    CPPUNIT_ASSERT(seal_keys(path_).has_value());
    for (const unsigned mode : {0604U, 0644U, 0664U}) {
      CPPUNIT_ASSERT_EQUAL(0, chmod((path_ + "/seal.key").c_str(), mode));
      CPPUNIT_ASSERT(seal_keys(path_).error().kind == ErrorKind::storage);
      CPPUNIT_ASSERT(existing_seal_keys(path_).error().message.find("chmod 600") != std::string::npos);
    }
  }

  void a_seal_key_that_a_volume_gave_to_its_group_is_taken_back() {
    prepare();
    const auto made = seal_keys(path_);
    CPPUNIT_ASSERT(made.has_value());
    for (const unsigned mode : {0640U, 0660U}) {
      CPPUNIT_ASSERT_EQUAL(0, chmod((path_ + "/seal.key").c_str(), mode));
      const auto found = existing_seal_keys(path_);
      CPPUNIT_ASSERT(found && *found && (*found)->serving.id == made->serving.id);
      struct stat status {};
      CPPUNIT_ASSERT_EQUAL(0, ::stat((path_ + "/seal.key").c_str(), &status));
      CPPUNIT_ASSERT_EQUAL(0600U, status.st_mode & 0777U);
    }
  }

  void a_seal_key_in_a_directory_open_to_all_is_refused() {
    prepare();
    CPPUNIT_ASSERT(seal_keys(path_).has_value());
    CPPUNIT_ASSERT_EQUAL(0, chmod(path_.c_str(), 0777));
    CPPUNIT_ASSERT(!seal_keys(path_));
  }

  void a_seal_key_of_a_stranger_is_refused() {
    if (geteuid() != 0) return;
    prepare();
    CPPUNIT_ASSERT(seal_keys(path_).has_value());
    CPPUNIT_ASSERT_EQUAL(0, chown((path_ + "/seal.key").c_str(), 65534, 65534));
    CPPUNIT_ASSERT(seal_keys(path_).error().message.find("65534") != std::string::npos);
  }

  void a_seal_key_that_is_a_link_or_a_pipe_is_refused() {
    prepare();
    CPPUNIT_ASSERT(seal_keys(path_).has_value());
    fs::rename(path_ + "/seal.key", directory_ / "elsewhere");
    fs::create_symlink(directory_ / "elsewhere", path_ + "/seal.key");
    CPPUNIT_ASSERT(!seal_keys(path_));
    fs::remove(path_ + "/seal.key");
    CPPUNIT_ASSERT_EQUAL(0, mkfifo((path_ + "/seal.key").c_str(), 0600));
    CPPUNIT_ASSERT(!seal_keys(path_));
  }

  void a_damaged_seal_key_is_refused_and_never_replaced() {
    prepare();
    write_bytes(path_ + "/seal.key", {});
    fs::permissions(path_ + "/seal.key", fs::perms::owner_read | fs::perms::owner_write);
    CPPUNIT_ASSERT(seal_keys(path_).error().kind == ErrorKind::storage);
    CPPUNIT_ASSERT_EQUAL(std::uintmax_t{0}, fs::file_size(path_ + "/seal.key"));
  }

  void looking_for_a_seal_key_makes_none() {
    const auto before = existing_seal_keys(path_);
    CPPUNIT_ASSERT(before && !*before);
    prepare();
    const auto after = existing_seal_keys(path_);
    CPPUNIT_ASSERT(after && !*after && !fs::exists(path_ + "/seal.key"));
  }

  void files_are_read_below_the_state_directory() {
    prepare();
    write_bytes(path_ + "/state/certificates/a/1.bundle", bytes_of("one"));
    const auto state = StateReader::open(path_);
    CPPUNIT_ASSERT(state.has_value());
    CPPUNIT_ASSERT(**state->read("certificates/a/1.bundle", largest_record) == bytes_of("one"));
    CPPUNIT_ASSERT(!*state->read("certificates/a/2.bundle", largest_record));
    CPPUNIT_ASSERT(!*state->read("certificates/b/1.bundle", largest_record));
    CPPUNIT_ASSERT(!state->read("certificates/a", largest_record));
    CPPUNIT_ASSERT(*state->list("certificates") == std::vector<std::string>{"a"});
    CPPUNIT_ASSERT(state->list("nothing")->empty());
    CPPUNIT_ASSERT(!StateReader::open(directory_ / "nowhere"));
  }

  static bool follows_links(const std::string& path, const std::string& secret) {
    const auto state = StateReader::open(path);
    if (!state) return true;
    const auto refuses = [](const auto& result) { return !result && result.error().kind == ErrorKind::storage; };
    return !refuses(state->read("certificates/x/hostname", largest_record)) || !refuses(state->list("certificates/x")) ||
           !refuses(state->read("link", largest_record)) || !refuses(state->read("../" + secret, largest_record)) ||
           !refuses(state->read("certificates/../../" + secret, largest_record)) || !refuses(state->list(".."));
  }

  void lay_traps() const {
    prepare();
    fs::create_directory(path_ + "/state/certificates");
    fs::create_directory_symlink("/etc", path_ + "/state/certificates/x");
    write_bytes(path_ + "/secret", bytes_of("secret"));
    fs::create_symlink("../secret", path_ + "/state/link");
  }

  void links_are_never_followed() {
    lay_traps();
    CPPUNIT_ASSERT(!follows_links(path_, "secret"));
  }

  void links_are_never_followed_without_openat2() {
    lay_traps();
    write_bytes(path_ + "/state/certificates/a/1.bundle", bytes_of("one"));
    for (const int answer : {ENOSYS, EPERM}) {
      CPPUNIT_ASSERT_EQUAL(0, in_child([&] {
                             if (!forbid_openat2(static_cast<unsigned>(answer))) return 3;
                             if (follows_links(path_, "secret")) return 1;
                             const auto read = StateReader::open(path_)->read("certificates/a/1.bundle", largest_record);
                             return read && *read && **read == bytes_of("one") ? 0 : 2;
                           }));
    }
  }

  void a_pipe_does_not_hold_up_the_reader() {
    prepare();
    CPPUNIT_ASSERT_EQUAL(0, mkfifo((path_ + "/state/pipe").c_str(), 0600));
    CPPUNIT_ASSERT(!StateReader::open(path_)->read("pipe", largest_record));
  }

  void names_become_safe_file_names() {
    CPPUNIT_ASSERT_EQUAL(std::string("www.example.com"), file_name_of("www.example.com"));
    CPPUNIT_ASSERT_EQUAL(std::string("_wildcard_.example.com"), file_name_of("*.example.com"));
    CPPUNIT_ASSERT_EQUAL(std::string("_2e_._2f_etc"), file_name_of("../etc"));
    CPPUNIT_ASSERT_EQUAL(std::string("_2e_"), file_name_of("."));
    CPPUNIT_ASSERT_EQUAL(std::string("_empty_"), file_name_of(""));
    CPPUNIT_ASSERT_EQUAL(std::string("2001_3a_db8_3a__3a_1"), file_name_of("2001:db8::1"));
    CPPUNIT_ASSERT_EQUAL(std::string("my_site"), file_name_of("my_site"));
    for (int byte = 0; byte < 256; ++byte) {
      const std::string name = file_name_of("a" + std::string(1, static_cast<char>(byte)) + "b");
      CPPUNIT_ASSERT(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-") == std::string::npos);
    }
  }

  void different_names_have_different_file_names() {
    std::map<std::string, std::string> seen;
    const std::array<std::string, 11> pieces{"*", "_", "wildcard", "_wildcard_", "2f", "/", "_2f_", "a", ".", "5f", "_5f_"};
    std::vector<std::string> names;
    for (const auto& first : pieces) {
      for (const auto& second : pieces) {
        for (const auto& third : pieces) names.push_back(first + second + third);
      }
    }
    names.push_back(std::string(300, 'a') + "1");
    names.push_back(std::string(300, 'a') + "2");
    for (const std::string& name : names) {
      const std::string file = file_name_of(name);
      CPPUNIT_ASSERT(file.size() <= 200);
      const auto [found, fresh] = seen.emplace(file, name);
      CPPUNIT_ASSERT_MESSAGE(name + " and " + found->second + " are both " + file, fresh || found->second == name);
    }
  }

  void generations_are_listed_newest_first() {
    prepare();
    for (const char* const file : {"9.bundle", "10.bundle", "1.bundle", "01.bundle", "0.bundle", "x.bundle", "2.bundle.old",
                                   ".3.bundle.abcdef", "99999999999999999999.bundle", "-4.bundle", ".bundle"}) {
      write_bytes(path_ + "/state/certificates/_wildcard_.example.com/" + file, bytes_of("x"));
    }
    const auto state = StateReader::open(path_);
    CPPUNIT_ASSERT(*generations_of(*state, "*.example.com") == (std::vector<std::uint64_t>{10, 9, 1}));
    CPPUNIT_ASSERT(generations_of(*state, "other")->empty());
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(StoreStateTest);

}  // namespace evercert::test
