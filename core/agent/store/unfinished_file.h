// A file being written beside its place: readers see the old or the new whole file, whatever happens to the writer.
// Files that were replaced are emptied and kept for the next write. ext4 spends most of a file's making on looking for an inode
// that nobody removed in the last five seconds: with a few hundred removals a second each new file costs half a millisecond.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "evercert/secret.h"

namespace evercert {

// Names of empty files, by the folder they lie in. Thread-safe. What is left of them at the end is removed by
// sweep_unfinished_files(), like what a killed writer leaves.
class SpareFiles {
 public:
  std::optional<std::string> take(const std::string& folder);
  // False: there are enough.
  bool keep(const std::string& folder, const std::string& name);

 private:
  std::mutex mutex_;
  std::map<std::string, std::vector<std::string>> names_;
};

class UnfinishedFile {
 public:
  // `directory`: descriptor of `folder`; both and `spares` must outlive the file.
  UnfinishedFile(int directory, std::string folder, std::string name, SpareFiles& spares);
  UnfinishedFile(const UnfinishedFile&) = delete;
  UnfinishedFile& operator=(const UnfinishedFile&) = delete;
  ~UnfinishedFile();  // removes what did not get its name

  // Both: 0, or errno.
  int write(BytesView content, unsigned mode, const std::optional<std::uint32_t>& group, bool durable);
  int take_its_place();
  [[nodiscard]] std::uint64_t revision() const { return revision_; }

 private:
  [[nodiscard]] int open_for_writing();
  bool empty_the_old_one() const;

  int directory_;
  std::string folder_;
  std::string name_;
  SpareFiles& spares_;
  std::string beside_;
  bool there_ = false;
  std::uint64_t revision_ = 0;
};

// Changes with each write of a file, also when the same bytes are written.
std::uint64_t revision_of(BytesView content, const struct stat& status);

}  // namespace evercert
