// Anonymous memory files with seals: the ground under board, report page, plan and secrets.
// Rule: nothing is mapped or believed before its seals have been read back.
#pragma once

#include <cstddef>
#include <string>

#include "evercert/descriptor.h"
#include "evercert/result.h"

namespace evercert {

// An empty memory file, mode 0600, closed on exec, not yet sealed.
Result<Descriptor> make_memory_file(const char* name);

// Gives it its size at once, as a hole, and forbids to change that size or the seals. Content stays writable.
Result<Descriptor> make_fixed_memory_file(const char* name, std::size_t size);

// Maps all of a memory file whose size is exactly `size` and can change no more.
Result<void*> map_memory_file(int descriptor, std::size_t size, bool writable, const std::string& what);
void unmap_memory(void* memory, std::size_t size) noexcept;

// A second open file description of the same memory file that allows no writing.
Result<Descriptor> reopen_read_only(int descriptor);

}  // namespace evercert
