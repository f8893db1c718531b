// Whole reads and whole-or-nothing writes.
#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "evercert/descriptor.h"
#include "serving/base/encoding.h"
#include "serving/platform/files.h"

using namespace evercert;

namespace {

class FilesTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(FilesTest);
  CPPUNIT_TEST(what_was_written_is_read_with_the_mode_asked_for);
  CPPUNIT_TEST(an_absent_file_is_no_error);
  CPPUNIT_TEST(links_below_a_directory_are_not_followed);
  CPPUNIT_TEST(nothing_above_the_directory_is_reached);
  CPPUNIT_TEST(a_file_over_the_limit_is_refused);
  CPPUNIT_TEST(a_large_file_takes_no_memory);
  CPPUNIT_TEST(a_pipe_is_refused_without_waiting);
  CPPUNIT_TEST(a_fresh_file_never_takes_the_place_of_another);
  CPPUNIT_TEST(a_write_that_does_not_fit_leaves_the_old_file_and_nothing_else);
  CPPUNIT_TEST_SUITE_END();

 public:
  void setUp() override {
    std::string pattern = std::filesystem::temp_directory_path() / "evercert-files-XXXXXX";
    CPPUNIT_ASSERT(::mkdtemp(pattern.data()) != nullptr);
    folder_ = pattern;
    directory_ = Descriptor(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  void tearDown() override { std::filesystem::remove_all(folder_); }

 private:
  void what_was_written_is_read_with_the_mode_asked_for() {
    std::filesystem::create_directory(folder_ / "a");
    const Bytes content = random_bytes(100000);
    CPPUNIT_ASSERT(write_file(directory_.get(), "a/b", content, {.mode = 0604, .durable = true, .group = {}}));
    CPPUNIT_ASSERT(read_file(directory_.get(), "a/b", 1 << 20).value().value() == content);
    struct stat facts {};
    CPPUNIT_ASSERT_EQUAL(0, ::stat((folder_ / "a/b").c_str(), &facts));
    CPPUNIT_ASSERT_EQUAL(0604U, facts.st_mode & 07777U);
  }

  void an_absent_file_is_no_error() { CPPUNIT_ASSERT(!read_file(directory_.get(), "nothing", 100).value().has_value()); }

  void links_below_a_directory_are_not_followed() {
    std::filesystem::create_symlink("/etc", folder_ / "etc");
    std::filesystem::create_symlink("/etc/hostname", folder_ / "name");
    CPPUNIT_ASSERT(!read_file(directory_.get(), "etc/hostname", 1 << 20));
    CPPUNIT_ASSERT(!read_file(directory_.get(), "name", 1 << 20));
  }

  void nothing_above_the_directory_is_reached() {
    CPPUNIT_ASSERT(!read_file(directory_.get(), "../../etc/hostname", 1 << 20));
    CPPUNIT_ASSERT(!read_file(directory_.get(), "/etc/hostname", 1 << 20));
  }

  void a_fresh_file_never_takes_the_place_of_another() {
    WriteOptions fresh;
    fresh.fresh = true;
    CPPUNIT_ASSERT(write_file(directory_.get(), "new", bytes_of("first"), fresh));
    const auto again = write_file(directory_.get(), "new", bytes_of("second"), fresh);
    CPPUNIT_ASSERT(!again && again.error().message.find("File exists") != std::string::npos);
    std::filesystem::create_symlink("nowhere", folder_ / "link");
    CPPUNIT_ASSERT(!write_file(directory_.get(), "link", bytes_of("second"), fresh));
    CPPUNIT_ASSERT(read_file(directory_.get(), "new", 100).value().value() == Bytes({'f', 'i', 'r', 's', 't'}));
    const auto files = std::filesystem::directory_iterator(folder_);
    CPPUNIT_ASSERT_EQUAL(std::ptrdiff_t{2}, std::distance(begin(files), end(files)));
  }

  void a_file_over_the_limit_is_refused() {
    CPPUNIT_ASSERT(write_file(directory_.get(), "big", random_bytes(1000), {}));
    CPPUNIT_ASSERT(!read_file(directory_.get(), "big", 999));
    CPPUNIT_ASSERT(read_file(directory_.get(), "big", 1000));
  }

  // Most of it is a hole: it costs whoever leaves it nothing.
  void a_large_file_takes_no_memory() {
    const auto peak = [] {
      struct rusage usage {};
      CPPUNIT_ASSERT_EQUAL(0, ::getrusage(RUSAGE_SELF, &usage));
      return usage.ru_maxrss;
    };
    const Descriptor file(::open((folder_ / "big").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    CPPUNIT_ASSERT_EQUAL(0, ::ftruncate(file.get(), off_t{1} << 30));
    const long before = peak();
    const auto read = read_file(directory_.get(), "big", largest_bundle);
    CPPUNIT_ASSERT(!read);
    CPPUNIT_ASSERT_EQUAL(std::string("big is not read: it is larger than the 512 KiB that such a file may have"),
                         read.error().message);
    CPPUNIT_ASSERT(!read_descriptor(file.get(), largest_pem));
    CPPUNIT_ASSERT(peak() - before < 100 * 1024);
  }

  void a_pipe_is_refused_without_waiting() {
    CPPUNIT_ASSERT_EQUAL(0, ::mkfifo((folder_ / "pipe").c_str(), 0600));
    CPPUNIT_ASSERT(!read_file(directory_.get(), "pipe", 100));
  }

  void a_write_that_does_not_fit_leaves_the_old_file_and_nothing_else() {
    CPPUNIT_ASSERT(write_file(directory_.get(), "kept", random_bytes(10), {}));
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    rlimit small = before;
    small.rlim_cur = 4096;
    auto* old_handler = std::signal(SIGXFSZ, SIG_IGN);
    ::setrlimit(RLIMIT_FSIZE, &small);
    const auto written = write_file(directory_.get(), "kept", random_bytes(10000), {});
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, old_handler);
    CPPUNIT_ASSERT(!written);
    CPPUNIT_ASSERT(written.error().kind == ErrorKind::storage);
    CPPUNIT_ASSERT_EQUAL(std::size_t{10}, read_file(directory_.get(), "kept", 100).value().value().size());
    CPPUNIT_ASSERT_EQUAL(std::ptrdiff_t{1}, std::distance(std::filesystem::directory_iterator(folder_), {}));
  }

  std::filesystem::path folder_;
  Descriptor directory_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(FilesTest);

}  // namespace
