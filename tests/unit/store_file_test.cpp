#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <stop_token>
#include <thread>

#include "agent/store/file_store.h"
#include "evercert/descriptor.h"
#include "fake/leader_of_tests.h"
#include "store_fixture.h"

namespace evercert::test {

namespace fs = std::filesystem;

class StoreFileTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(StoreFileTest);
  CPPUNIT_TEST(what_was_put_is_got);
  CPPUNIT_TEST(keys_are_listed_below_a_prefix);
  CPPUNIT_TEST(keys_that_are_no_keys_are_refused);
  CPPUNIT_TEST(values_over_the_limit_are_refused);
  CPPUNIT_TEST(a_put_can_demand_that_nothing_is_there);
  CPPUNIT_TEST(a_put_can_demand_a_revision);
  CPPUNIT_TEST(one_of_many_conditional_puts_wins);
  CPPUNIT_TEST(what_is_read_beside_a_writer_is_one_write_and_whole);
  CPPUNIT_TEST(erasing_twice_is_no_error);
  CPPUNIT_TEST(quarantine_keeps_the_bytes);
  CPPUNIT_TEST(everything_made_has_its_mode_and_group);
  CPPUNIT_TEST(links_are_refused);
  CPPUNIT_TEST(a_full_disk_changes_nothing);
  CPPUNIT_TEST(a_file_size_limit_changes_nothing);
  CPPUNIT_TEST(a_read_only_directory_is_an_error);
  CPPUNIT_TEST(an_ordinary_user_can_do_all_of_it);
  CPPUNIT_TEST(nothing_is_left_of_what_was_replaced);
  CPPUNIT_TEST(a_reader_gets_the_old_or_the_new_whole_value);
  CPPUNIT_TEST(a_replaced_file_that_others_hold_is_left_to_them);
  CPPUNIT_TEST(a_killed_writer_leaves_only_whole_files);
  CPPUNIT_TEST(unfinished_files_are_swept_after_an_hour);
  CPPUNIT_TEST_SUITE_END();

  TemporaryDirectory directory_;
  const std::unique_ptr<Store> store_ = open_store(directory_.path());

  static std::unique_ptr<Store> open_store(const std::string& path, FileStoreOptions options = {}) {
    return make_file_store(Descriptor(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), leader_of_tests(), options);
  }
  static bool put(Store& store, const std::string& key, const std::string& value) {
    return store.put(key, bytes_of(value), {}).has_value();
  }
  static std::string text(Store& store, const std::string& key) {
    const auto object = store.get(key);
    if (!object) return "an error";
    if (!*object) return "nothing";
    return {(*object)->value.begin(), (*object)->value.end()};
  }
  static unsigned mode_of(const std::string& path) {
    struct stat status {};
    return lstat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
  }
  static std::vector<std::string> hidden_files(const std::string& path) {
    std::vector<std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      if (entry.path().filename().string().starts_with(".")) found.push_back(entry.path().string());
    }
    return found;
  }

  void what_was_put_is_got() {
    CPPUNIT_ASSERT_EQUAL(std::string("nothing"), text(*store_, "orders/a.order"));
    CPPUNIT_ASSERT(put(*store_, "orders/a.order", "one"));
    CPPUNIT_ASSERT_EQUAL(std::string("one"), text(*store_, "orders/a.order"));
    const auto revision = (*store_->get("orders/a.order"))->revision;
    const auto next = store_->put("orders/a.order", bytes_of("two"), {.durability = Durability::process});
    CPPUNIT_ASSERT(next && *next != revision && *next == (*store_->get("orders/a.order"))->revision);
    const auto same = store_->put("orders/a.order", bytes_of("two"), {});
    CPPUNIT_ASSERT(same && *same != *next);  // the same bytes, written again, are another revision
  }

  void keys_are_listed_below_a_prefix() {
    for (const char* const key :
         {"certificates/a/1.bundle", "certificates/a/2.bundle", "certificates/b/1.bundle", "orders/a.order"}) {
      CPPUNIT_ASSERT(put(*store_, key, key));
    }
    write_bytes(directory_ / "certificates/a/.3.bundle.abcdef", bytes_of("unfinished"));
    fs::create_directory_symlink("/etc", directory_ / "certificates/etc");
    auto keys = *store_->list("certificates/");
    std::sort(keys.begin(), keys.end());
    CPPUNIT_ASSERT(keys ==
                   (std::vector<std::string>{"certificates/a/1.bundle", "certificates/a/2.bundle", "certificates/b/1.bundle"}));
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, store_->list("certificates/b/")->size());
    CPPUNIT_ASSERT(store_->list("challenges/")->empty());
  }

  void keys_that_are_no_keys_are_refused() {
    for (const char* const key :
         {"", "/", "a/", "/a", "a//b", "../a", "a/../b", ".hidden", "a/.b", "a b", "a\nb", "a:b", "\xc3\xa4"}) {
      CPPUNIT_ASSERT_MESSAGE(key, store_->put(key, {}, {}).error().kind == ErrorKind::internal);
      CPPUNIT_ASSERT(!store_->get(key) && !store_->erase(key) && !store_->quarantine(key));
    }
    CPPUNIT_ASSERT(!store_->put(std::string(300, 'a'), {}, {}));
  }

  void values_over_the_limit_are_refused() {
    CPPUNIT_ASSERT(store_->put("a", Bytes(256 << 10, 1), {}).has_value());
    CPPUNIT_ASSERT(!store_->put("a", Bytes((256 << 10) + 1, 1), {}));
    CPPUNIT_ASSERT_EQUAL(std::size_t{256 << 10}, (*store_->get("a"))->value.size());
  }

  void a_put_can_demand_that_nothing_is_there() {
    const Store::PutOptions absent{.condition = {Store::Condition::Kind::absent}};
    CPPUNIT_ASSERT(store_->put("a", bytes_of("one"), absent).has_value());
    const auto refused = store_->put("a", bytes_of("two"), absent);
    CPPUNIT_ASSERT(!refused && refused.error().message.find("exists already") != std::string::npos);
    CPPUNIT_ASSERT_EQUAL(std::string("one"), text(*store_, "a"));
    CPPUNIT_ASSERT(hidden_files(directory_.path()).empty());
  }

  void a_put_can_demand_a_revision() {
    const auto first = store_->put("a", bytes_of("one"), {});
    const Store::PutOptions unchanged{.condition = {Store::Condition::Kind::revision, *first}};
    CPPUNIT_ASSERT(store_->put("a", bytes_of("two"), unchanged).has_value());
    const auto refused = store_->put("a", bytes_of("three"), unchanged);
    CPPUNIT_ASSERT(!refused && refused.error().message.find("changed meanwhile") != std::string::npos);
    CPPUNIT_ASSERT(!store_->put("b", bytes_of("one"), unchanged));
    CPPUNIT_ASSERT_EQUAL(std::string("two"), text(*store_, "a"));
  }

  // Four processes of two threads each add one to a number, 25 times; no addition may be lost.
  void one_of_many_conditional_puts_wins() {
    CPPUNIT_ASSERT(put(*store_, "number", "0"));
    const auto count = [](Store& store) {
      for (int added = 0; added < 25;) {
        const auto object = store.get("number");
        if (!object || !*object) return;
        const int next = std::stoi(std::string((*object)->value.begin(), (*object)->value.end())) + 1;
        const Store::PutOptions unchanged{.condition = {Store::Condition::Kind::revision, (*object)->revision},
                                          .durability = Durability::process};
        if (store.put("number", bytes_of(std::to_string(next)), unchanged)) ++added;
      }
    };
    std::vector<pid_t> children;
    for (int child = 0; child < 4; ++child) {
      children.push_back(start_child([&] {
        const auto own = open_store(directory_.path());
        std::thread second([&] { count(*own); });
        count(*own);
        second.join();
        return 0;
      }));
    }
    for (const pid_t child : children) CPPUNIT_ASSERT_EQUAL(0, wait_for(child));
    CPPUNIT_ASSERT_EQUAL(std::string("200"), text(*store_, "number"));
  }

  void what_is_read_beside_a_writer_is_one_write_and_whole() {
    constexpr std::size_t size = 40000;
    const auto write = [](Store& store, std::uint8_t byte) {
      return store.put("one", Bytes(size, byte), {.durability = Durability::process}).has_value();
    };
    CPPUNIT_ASSERT(write(*store_, 0));
    const pid_t writer = start_child([&] {
      const auto own = open_store(directory_.path());
      for (unsigned round = 0; round < 5000; ++round) {
        if (!write(*own, static_cast<std::uint8_t>(round))) return 1;
      }
      return 0;
    });
    int status = 0;
    std::size_t bad = 0;
    while (waitpid(writer, &status, WNOHANG) == 0) {
      const auto object = store_->get("one");
      if (!object) continue;  // said to change all the time
      const Bytes& value = (*object)->value;
      if (value.size() != size || std::ranges::any_of(value, [&](std::uint8_t byte) { return byte != value.front(); })) ++bad;
    }
    CPPUNIT_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CPPUNIT_ASSERT_EQUAL(std::size_t{0}, bad);
  }

  void erasing_twice_is_no_error() {
    CPPUNIT_ASSERT(put(*store_, "challenges/a.answer", "x"));
    CPPUNIT_ASSERT(store_->erase("challenges/a.answer").has_value());
    CPPUNIT_ASSERT(store_->erase("challenges/a.answer").has_value());
    CPPUNIT_ASSERT(store_->erase("nowhere/a.answer").has_value());
    CPPUNIT_ASSERT_EQUAL(std::string("nothing"), text(*store_, "challenges/a.answer"));
  }

  void quarantine_keeps_the_bytes() {
    std::set<std::string> places;
    for (const char* const value : {"one", "two"}) {
      CPPUNIT_ASSERT(put(*store_, "certificates/a/3.bundle", value));
      const auto moved = store_->quarantine("certificates/a/3.bundle");
      CPPUNIT_ASSERT(moved && moved->starts_with("quarantine/certificates_a_3.bundle."));
      CPPUNIT_ASSERT(file_bytes(directory_ / *moved) == bytes_of(value));
      places.insert(*moved);
    }
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, places.size());
    CPPUNIT_ASSERT_EQUAL(std::string("nothing"), text(*store_, "certificates/a/3.bundle"));
    CPPUNIT_ASSERT(!store_->quarantine("certificates/a/3.bundle"));
  }

  void everything_made_has_its_mode_and_group() {
    const bool root = geteuid() == 0;
    const auto store = open_store(directory_.path(), {.group = root ? 65533U : static_cast<std::uint32_t>(getegid())});
    const mode_t before = umask(077);
    CPPUNIT_ASSERT(put(*store, "certificates/a/1.bundle", "x") && put(*store, "accounts/a.account", "x"));
    CPPUNIT_ASSERT(put(*store, "orders/a.order", "x") && put(*store, "challenges/http-01.Ab_-9.answer", "x"));
    CPPUNIT_ASSERT(put(*store, "certificates/a/2.bundle", "x") && store->quarantine("certificates/a/2.bundle"));
    umask(before);
    int seen = 0;
    for (const auto& entry : fs::recursive_directory_iterator(directory_.path())) {
      const std::string path = entry.path().string();
      const bool bundle = path.find(".bundle") != std::string::npos;
      CPPUNIT_ASSERT_EQUAL_MESSAGE(path, entry.is_directory() ? 0750U : bundle ? 0640U : 0600U, mode_of(path));
      struct stat status {};
      CPPUNIT_ASSERT_EQUAL(0, lstat(path.c_str(), &status));
      CPPUNIT_ASSERT_MESSAGE(path, !root || status.st_gid == 65533);
      ++seen;
    }
    CPPUNIT_ASSERT_EQUAL(11, seen);
  }

  void links_are_refused() {
    fs::create_directory(directory_ / "certificates");
    fs::create_directory(directory_ / "target");
    fs::create_directory_symlink(directory_ / "target", directory_ / "certificates/x");
    CPPUNIT_ASSERT(store_->put("certificates/x/1.bundle", bytes_of("x"), {}).error().kind == ErrorKind::storage);
    CPPUNIT_ASSERT(fs::is_empty(directory_ / "target"));
    CPPUNIT_ASSERT(!store_->list("certificates/x/"));
    write_bytes(directory_ / "target/file", bytes_of("x"));
    CPPUNIT_ASSERT(!store_->get("certificates/x/file"));
    CPPUNIT_ASSERT(!store_->erase("certificates/x/file") && fs::exists(directory_ / "target/file"));
    // A link in the place of the file itself is replaced, its target is not written to.
    fs::create_symlink(directory_ / "target/file", directory_ / "link");
    CPPUNIT_ASSERT(!store_->get("link"));
    CPPUNIT_ASSERT(put(*store_, "link", "new") && file_bytes(directory_ / "target/file") == bytes_of("x"));
    fs::create_symlink(directory_ / "target/file", directory_ / "another");
    CPPUNIT_ASSERT(store_->put("another", bytes_of("new"), {{Store::Condition::Kind::absent}}).has_value());
    CPPUNIT_ASSERT(text(*store_, "another") == "new" && file_bytes(directory_ / "target/file") == bytes_of("x"));
  }

  static bool is_whole_and_old(Store& store, const std::string& path) {
    const auto failed = store.put("a", Bytes(200 << 10, 2), {});
    return !failed && failed.error().kind == ErrorKind::storage && text(store, "a") == "old" && hidden_files(path).empty();
  }

  void a_full_disk_changes_nothing() {
    if (geteuid() != 0) return;
    const std::string path = directory_ / "small";
    fs::create_directory(path);
    if (mount("tmpfs", path.c_str(), "tmpfs", 0, "size=64k") != 0) return;  // a container without the right to
    const auto store = open_store(path);
    const bool before = put(*store, "a", "old");
    const bool kept = is_whole_and_old(*store, path);
    const auto failed = store->put("a", Bytes(200 << 10, 2), {});
    const bool after = put(*store, "a", "new");
    CPPUNIT_ASSERT_EQUAL(0, umount2(path.c_str(), MNT_DETACH));
    CPPUNIT_ASSERT(before && kept && after);
    CPPUNIT_ASSERT(failed.error().message.find("No space left") != std::string::npos);
  }

  void a_file_size_limit_changes_nothing() {
    CPPUNIT_ASSERT(put(*store_, "a", "old"));
    CPPUNIT_ASSERT_EQUAL(0, in_child([&] {
                           signal(SIGXFSZ, SIG_IGN);
                           const rlimit limit{4096, 4096};
                           if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
                           return is_whole_and_old(*store_, directory_.path()) ? 0 : 1;
                         }));
  }

  static bool become_nobody() { return setgroups(0, nullptr) == 0 && setgid(65534) == 0 && setuid(65534) == 0; }

  void a_read_only_directory_is_an_error() {
    CPPUNIT_ASSERT(put(*store_, "orders/a.order", "old"));
    CPPUNIT_ASSERT_EQUAL(0, chmod(directory_.path().c_str(), 0755));
    CPPUNIT_ASSERT_EQUAL(0, chmod((directory_ / "orders").c_str(), 0555));
    CPPUNIT_ASSERT_EQUAL(0, in_child([&] {
                           if (geteuid() == 0 && !become_nobody()) return 2;
                           const auto failed = store_->put("orders/a.order", bytes_of("new"), {});
                           if (failed || failed.error().kind != ErrorKind::storage) return 3;
                           const bool changed = store_->erase("orders/a.order") || store_->quarantine("orders/a.order");
                           return changed ? 1 : 0;
                         }));
    CPPUNIT_ASSERT_EQUAL(std::string("old"), text(*store_, "orders/a.order"));
    CPPUNIT_ASSERT(hidden_files(directory_.path()).empty());
    CPPUNIT_ASSERT_EQUAL(0, chmod((directory_ / "orders").c_str(), 0755));
  }

  void an_ordinary_user_can_do_all_of_it() {
    if (geteuid() == 0) {
      CPPUNIT_ASSERT_EQUAL(0, chown(directory_.path().c_str(), 65534, 65534));
    }
    CPPUNIT_ASSERT_EQUAL(0, in_child([&] {
                           if (geteuid() == 0 && !become_nobody()) return 2;
                           const std::string home = directory_ / "own";
                           if (!prepare_state_directories(home, 0, 0) || !seal_keys(home)) return 3;
                           const auto store = open_store(home + "/state");
                           if (!put(*store, "certificates/a/1.bundle", "x") || text(*store, "certificates/a/1.bundle") != "x")
                             return 4;
                           if (*store->lock("leader", std::chrono::milliseconds(0), {}) == nullptr) return 5;
                           return store->quarantine("certificates/a/1.bundle") ? 0 : 6;
                         }));
  }

  void nothing_is_left_of_what_was_replaced() {
    for (int round = 0; round < 100; ++round) {
      CPPUNIT_ASSERT(put(*store_, "orders/a.order", "a private key, for instance"));
    }
    const auto hidden = hidden_files(directory_.path());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, hidden.size());  // kept for the next write
    CPPUNIT_ASSERT_EQUAL(std::uintmax_t{0}, fs::file_size(hidden.front()));
    fs::remove(hidden.front());
    CPPUNIT_ASSERT(put(*store_, "orders/a.order", "and written anew when it was swept away"));
  }

  void a_reader_gets_the_old_or_the_new_whole_value() {
    constexpr std::size_t size = 100 << 10;
    CPPUNIT_ASSERT(store_->put("orders/a.order", Bytes(size, 0), {}).has_value());
    std::jthread writer([&](const std::stop_token& stop) {
      for (std::uint8_t value = 1; !stop.stop_requested(); ++value) {
        static_cast<void>(store_->put("orders/a.order", Bytes(size, value), {.durability = Durability::process}).has_value());
      }
    });
    for (int round = 0; round < 2000; ++round) {
      const auto object = store_->get("orders/a.order");
      CPPUNIT_ASSERT_MESSAGE(object ? "" : object.error().message, object && *object && (*object)->value.size() == size);
      const Bytes& value = (*object)->value;
      CPPUNIT_ASSERT(std::all_of(value.begin(), value.end(), [&value](std::uint8_t byte) { return byte == value.front(); }));
    }
  }

  void a_replaced_file_that_others_hold_is_left_to_them() {
    CPPUNIT_ASSERT(put(*store_, "orders/a.order", "old"));
    fs::create_hard_link(directory_ / "orders/a.order", directory_ / "backup");
    CPPUNIT_ASSERT(put(*store_, "orders/a.order", "new"));
    CPPUNIT_ASSERT_EQUAL(std::uintmax_t{3}, fs::file_size(directory_ / "backup"));
    CPPUNIT_ASSERT(hidden_files(directory_.path()).empty());
    CPPUNIT_ASSERT_EQUAL(std::string("new"), text(*store_, "orders/a.order"));
  }

  void a_killed_writer_leaves_only_whole_files() {
    constexpr std::size_t size = 200 << 10;
    CPPUNIT_ASSERT(store_->put("orders/a.order", Bytes(size, 0), {}).has_value());
    unsigned delay = 1;
    for (int round = 0; round < 200; ++round) {
      const pid_t writer = start_child([&] {
        const auto own = open_store(directory_.path());
        for (std::uint8_t value = 1;; ++value) {
          const auto written = own->put("orders/a.order", Bytes(size, value), {.durability = Durability::process});
          if (!written) return 1;
        }
      });
      // Not a wait for anything: the instant of death is to be different each time.
      delay = delay * 1103515245U + 12345U;
      usleep(500 + (delay >> 16) % 3000);
      kill(writer, SIGKILL);
      CPPUNIT_ASSERT_EQUAL(128 + SIGKILL, wait_for(writer));
      const auto object = store_->get("orders/a.order");
      CPPUNIT_ASSERT(object && *object && (*object)->value.size() == size);
      const Bytes& value = (*object)->value;
      CPPUNIT_ASSERT(std::all_of(value.begin(), value.end(), [&value](std::uint8_t byte) { return byte == value.front(); }));
      CPPUNIT_ASSERT_EQUAL(std::size_t{1}, store_->list("orders/")->size());
    }
    CPPUNIT_ASSERT(put(*store_, "orders/a.order", "still writable"));
    const auto left = hidden_files(directory_.path()).size();
    const int state = open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const Descriptor closed(state);
    const auto swept = sweep_unfinished_files(state, std::chrono::system_clock::now() + std::chrono::hours(2));
    CPPUNIT_ASSERT(swept && *swept == left && hidden_files(directory_.path()).empty());
  }

  void unfinished_files_are_swept_after_an_hour() {
    for (const char* const name : {"certificates/a/.1.bundle.abc123", ".status.json.ABCdef", "certificates/a/.bashrc",
                                   ".vimrc.swp", "certificates/a/1.bundle", "orders/.x.order.short"}) {
      write_bytes(directory_ / name, bytes_of("x"));
    }
    const Descriptor state(open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto now = std::chrono::system_clock::now();
    CPPUNIT_ASSERT_EQUAL(std::size_t{0}, *sweep_unfinished_files(state.get(), now + std::chrono::minutes(50)));
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, *sweep_unfinished_files(state.get(), now + std::chrono::minutes(70)));
    CPPUNIT_ASSERT(fs::exists(directory_ / "certificates/a/.bashrc") && fs::exists(directory_ / ".vimrc.swp"));
    CPPUNIT_ASSERT(fs::exists(directory_ / "certificates/a/1.bundle") && fs::exists(directory_ / "orders/.x.order.short"));
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(StoreFileTest);

}  // namespace evercert::test
