// Which files of an export_path are ours to replace: those whose certificate we wrote there, as exports/<directory>/<file> in
// the store remembers, those that hold a certificate of the line they are for, however they came there, and stand-ins that let
// a server start. An operator's own certificate of the same name is none of these.
#pragma once

#include <string>

#include "agent/store/store.h"
#include "serving/certificate/bundle.h"

namespace evercert {

class ExportedFiles {
 public:
  // `directory`: as it is configured.
  ExportedFiles(Store& store, SealKey serving, const std::string& directory);

  // `present`: what lies there, as PEM; `newest`: the generation of the line that is about to be written.
  [[nodiscard]] bool is_ours(const std::string& file, const Secret& present, const Bundle& newest);
  // Before it is written, so that one whose writing was interrupted is known. What cannot be remembered (a full disk) is known
  // by its line for two generations.
  void remember(const std::string& file, const Secret& content);

 private:
  [[nodiscard]] std::string record_of(const std::string& file) const;
  [[nodiscard]] bool is_of_line(BytesView leaf, const std::string& certificate);

  Store& store_;
  const SealKey serving_;
  const std::string id_;
};

}  // namespace evercert
