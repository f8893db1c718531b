// Listing a directory that was opened with open_beneath(). Used by StateReader and by the file store.
#pragma once

#include <string>
#include <vector>

#include "evercert/descriptor.h"
#include "evercert/result.h"

namespace evercert {

struct DirectoryEntry {
  std::string name;
  enum class Kind { file, directory, other } kind = Kind::other;
};

// Entries without "." and "..", unsorted. Links are `other`, whatever they point to. Takes the descriptor.
Result<std::vector<DirectoryEntry>> entries_of(Descriptor directory);

}  // namespace evercert
