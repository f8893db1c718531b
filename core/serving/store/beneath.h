// Opening below a directory descriptor without ever leaving it: no link is followed, no ".." goes up, no pipe or device holds
// up the opener. Used by StateReader (as root below a directory of the web user) and by the file store.
// Rule: nothing in state_path/state is opened by any other way.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "evercert/board.h"
#include "evercert/result.h"
#include "evercert/secret.h"

namespace evercert {

enum class OpenMethod { best, walk };  // walk: component by component, for kernels and sandboxes without openat2

// nullopt: it does not exist. `flags` as for open(2), without O_CREAT. An empty path is the directory itself.
Result<std::optional<Descriptor>> open_beneath(int directory, const std::string& path, int flags,
                                               OpenMethod method = OpenMethod::best);

// Contents of a regular file, at most `limit` bytes. nullopt: it does not exist.
Result<std::optional<Bytes>> read_beneath(int directory, const std::string& path, std::size_t limit);

struct DirectoryEntry {
  std::string name;
  enum class Kind { file, directory, other } kind = Kind::other;
};
// Entries of an open directory without "." and "..", unsorted. Takes the descriptor.
Result<std::vector<DirectoryEntry>> entries_of(Descriptor directory);

}  // namespace evercert
