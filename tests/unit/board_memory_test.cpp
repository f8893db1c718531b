#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "board_steps.h"
#include "evercert/board.h"

namespace evercert {

using board_steps::mapped;
using board_steps::new_board;
using board_steps::RawBoard;

class BoardMemoryTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(BoardMemoryTest);
  CPPUNIT_TEST(the_file_has_its_whole_size_and_is_almost_empty);
  CPPUNIT_TEST(nobody_can_change_its_size_or_its_seals);
  CPPUNIT_TEST(it_is_closed_on_exec_and_nobody_elses);
  CPPUNIT_TEST(a_read_only_mapping_cannot_be_made_writable);
  CPPUNIT_TEST(a_read_only_descriptor_cannot_be_mapped_for_writing);
  CPPUNIT_TEST(another_magic_is_refused);
  CPPUNIT_TEST(another_layout_version_is_refused_with_the_remedy);
  CPPUNIT_TEST(a_damaged_header_is_refused);
  CPPUNIT_TEST(another_size_is_refused);
  CPPUNIT_TEST(an_unsealed_file_is_refused);
  CPPUNIT_TEST(what_is_no_memory_file_is_refused);
  CPPUNIT_TEST(a_moved_board_goes_on);
  CPPUNIT_TEST_SUITE_END();

 public:
  void the_file_has_its_whole_size_and_is_almost_empty() {
    const Descriptor file = new_board();
    CPPUNIT_ASSERT(mapped(file).add("www.example.com"));
    struct stat facts {};
    CPPUNIT_ASSERT_EQUAL(0, ::fstat(file.get(), &facts));
    CPPUNIT_ASSERT_EQUAL(sizeof(BoardLayout), static_cast<std::size_t>(facts.st_size));
    CPPUNIT_ASSERT(facts.st_blocks * 512 <= 64 * 1024);
  }

  void nobody_can_change_its_size_or_its_seals() {
    const Descriptor file = new_board();
    CPPUNIT_ASSERT_EQUAL(-1, ::ftruncate(file.get(), 4096));
    CPPUNIT_ASSERT_EQUAL(EPERM, errno);
    CPPUNIT_ASSERT_EQUAL(-1, ::ftruncate(file.get(), static_cast<off_t>(sizeof(BoardLayout)) * 2));
    CPPUNIT_ASSERT_EQUAL(-1, ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE));
    CPPUNIT_ASSERT_EQUAL(EPERM, errno);
  }

  void it_is_closed_on_exec_and_nobody_elses() {
    const Descriptor file = new_board();
    CPPUNIT_ASSERT_EQUAL(FD_CLOEXEC, ::fcntl(file.get(), F_GETFD));
    struct stat facts {};
    CPPUNIT_ASSERT_EQUAL(0, ::fstat(file.get(), &facts));
    CPPUNIT_ASSERT_EQUAL(0600U, facts.st_mode & 0777U);
    const auto read_only = Board::read_only(file.get());
    CPPUNIT_ASSERT(read_only);
    CPPUNIT_ASSERT_EQUAL(FD_CLOEXEC, ::fcntl(read_only->get(), F_GETFD));
  }

  void a_read_only_mapping_cannot_be_made_writable() {
    const Descriptor file = new_board();
    const auto read_only = Board::read_only(file.get());
    CPPUNIT_ASSERT(read_only);
    void* memory = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, read_only->get(), 0);
    CPPUNIT_ASSERT(memory != MAP_FAILED);
    CPPUNIT_ASSERT_EQUAL(-1, ::mprotect(memory, 4096, PROT_READ | PROT_WRITE));
    CPPUNIT_ASSERT_EQUAL(EACCES, errno);
    ::munmap(memory, 4096);
  }

  void a_read_only_descriptor_cannot_be_mapped_for_writing() {
    const Descriptor file = new_board();
    const auto read_only = Board::read_only(file.get());
    CPPUNIT_ASSERT(read_only);
    CPPUNIT_ASSERT(Board::map(read_only->get(), Board::Access::read));
    refused(read_only->get(), Board::Access::write, "cannot map");
  }

  void another_magic_is_refused() {
    const Descriptor file = new_board();
    RawBoard(file.get())->magic = 1;
    refused(file.get(), Board::Access::read, "something else");
  }

  void another_layout_version_is_refused_with_the_remedy() {
    const Descriptor file = new_board();
    RawBoard(file.get())->version = board_layout_version + 1;
    refused(file.get(), Board::Access::read, "restart the server");
  }

  void a_damaged_header_is_refused() {
    const Descriptor file = new_board();
    RawBoard(file.get())->certificates_at = 64;
    refused(file.get(), Board::Access::read, "damaged");
  }

  void another_size_is_refused() {
    const Descriptor file(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    CPPUNIT_ASSERT_EQUAL(0, ::ftruncate(file.get(), 65536));
    CPPUNIT_ASSERT_EQUAL(0, ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
    refused(file.get(), Board::Access::read, "65536 bytes");
    CPPUNIT_ASSERT(!ReportPage::map(file.get()));
  }

  void an_unsealed_file_is_refused() {
    const Descriptor file(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    CPPUNIT_ASSERT_EQUAL(0, ::ftruncate(file.get(), sizeof(BoardLayout)));
    refused(file.get(), Board::Access::read, "not sealed");
    CPPUNIT_ASSERT_EQUAL(0, ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SEAL));
    refused(file.get(), Board::Access::read, "not sealed");
  }

  void what_is_no_memory_file_is_refused() {
    const Descriptor file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    refused(file.get(), Board::Access::read, "not a memory file");
    refused(-1, Board::Access::read, "not a memory file");
  }

  void a_moved_board_goes_on() {
    const Descriptor file = new_board();
    Board first = mapped(file);
    const CertificateSlot slot = *first.add("www.example.com");
    Board second = std::move(first);
    second.publish(slot, 2);
    Board third = mapped(new_board());
    third = std::move(second);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{2}, third.generation(slot));
    CPPUNIT_ASSERT_EQUAL(slot, *third.find("www.example.com"));
  }

 private:
  static void refused(int descriptor, Board::Access access, const std::string& words) {
    const auto board = Board::map(descriptor, access);
    CPPUNIT_ASSERT(!board);
    CPPUNIT_ASSERT(board.error().kind == ErrorKind::storage);
    CPPUNIT_ASSERT_MESSAGE(board.error().message, board.error().message.find(words) != std::string::npos);
  }
};

CPPUNIT_TEST_SUITE_REGISTRATION(BoardMemoryTest);

}  // namespace evercert
