// Files, carefully: whole reads with a limit, whole-or-nothing writes, nothing followed that could be a trap.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "evercert/result.h"
#include "evercert/secret.h"
#include "serving/base/limits.h"

namespace evercert {

// Error of a failed system call: "what: reason of errno".
Error system_error(ErrorKind kind, const std::string& what, int code);

// Opens below a directory descriptor following no link, not even in the middle, and never above it; AT_FDCWD: as open(2).
// -1 and errno on failure; the descriptor closes on exec.
int open_beneath(int directory, const std::string& path, int flags);

// The whole file, at most `limit` bytes: of a larger one, however few of its bytes are on a disk, nothing is read. The limit
// is that of the file's kind (limits.h). nullopt: it does not exist.
// `directory`: a descriptor or AT_FDCWD; below a directory descriptor no link is followed, not even in the middle.
Result<std::optional<Bytes>> read_file(int directory, const std::string& path, std::size_t limit);

// Its first `size` bytes, or as many as there are; else the same.
Result<std::optional<Bytes>> read_file_start(int directory, const std::string& path, std::size_t size);

struct WriteOptions {
  unsigned mode = 0640;
  bool durable = true;  // fsync file and directory
  std::optional<std::uint32_t> group;
  bool fresh = false;  // fails with "File exists" where there is something already
};
// Writes beside, then renames: readers see the old or the new whole file. The temporary name is ".<name>.XXXXXX". A short
// write, a full disk, a failing close leave the old file and no temporary one. The directory must exist.
Result<Done> write_file(int directory, const std::string& path, BytesView content, const WriteOptions& options);

// All bytes of a file from its start, with the same limit.
Result<Bytes> read_descriptor(int descriptor, std::size_t limit);

}  // namespace evercert
