// Which files of a directory of PEM files are ours to replace and to remove: those that we wrote. The list lies among them as
// ".evercert", a name HAProxy passes over; a directory that operators named because it is full of their own files loses none.
#pragma once

#include <set>
#include <string>

#include "evercert/descriptor.h"
#include "evercert/result.h"

namespace evercert {

class PemList {
 public:
  // `directory` must outlive it, and nobody but its owner may write there. Without a list nothing is ours. Errors: storage.
  static Result<PemList> open(const Descriptor& directory);

  [[nodiscard]] bool has(const std::string& file) const { return files_.count(file) != 0; }
  // Before the file is written, so that one whose writing was interrupted is known, too. Errors: storage.
  Result<Done> add(const std::string& file);
  // Those that are left after the others were removed. Errors: storage.
  Result<Done> keep(const std::set<std::string>& files);

 private:
  PemList(const Descriptor& directory, std::set<std::string> files) : directory_(&directory), files_(std::move(files)) {}

  const Descriptor* directory_;
  std::set<std::string> files_;
  Descriptor end_;  // of the list, where names are added
};

}  // namespace evercert
