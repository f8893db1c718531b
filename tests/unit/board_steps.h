// What the tests of the board share: mapping it raw, and doing something in a child process.
#pragma once

#include <cppunit/TestAssert.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "evercert/board.h"
#include "serving/board/board_layout.h"

namespace evercert::board_steps {

class RawBoard {
 public:
  explicit RawBoard(int descriptor)
      : memory_(::mmap(nullptr, sizeof(BoardLayout), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)) {
    CPPUNIT_ASSERT(memory_ != MAP_FAILED);
  }
  RawBoard(const RawBoard&) = delete;
  RawBoard& operator=(const RawBoard&) = delete;
  ~RawBoard() { ::munmap(memory_, sizeof(BoardLayout)); }
  BoardLayout* operator->() const { return static_cast<BoardLayout*>(memory_); }

 private:
  void* memory_;
};

inline Descriptor new_board() {
  auto board = Board::create();
  CPPUNIT_ASSERT(board);
  return std::move(*board);
}

inline Board mapped(const Descriptor& descriptor, Board::Access access = Board::Access::write) {
  auto board = Board::map(descriptor.get(), access);
  CPPUNIT_ASSERT_MESSAGE(board ? "" : board.error().message, board);
  return std::move(*board);
}

// The child leaves with 0 unless `work` says otherwise.
inline pid_t in_child(const std::function<void()>& work) {
  const pid_t child = ::fork();
  CPPUNIT_ASSERT(child >= 0);
  if (child == 0) {
    try {
      work();
    } catch (...) {
      ::_exit(1);
    }
    ::_exit(0);
  }
  return child;
}

inline int end_of(pid_t child) {
  int status = -1;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace evercert::board_steps
