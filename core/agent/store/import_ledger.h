// What an import has read of the orders at a CA: state/imports/<issuer>.jsonl, one line an order, only appended to. Used by
// imports, so that one that was interrupted, or is run again, does not download again what it knows.
// Rule: a line is a hint; what it says of an order is checked against the certificate before anything is published.
#pragma once

#include <map>
#include <string>

#include "evercert/descriptor.h"
#include "evercert/result.h"

namespace evercert {

class ImportLedger {
 public:
  struct Known {
    std::string version;     // as the CA's list had it
    std::string key;         // SHA-256 of the certificate's public key, hexadecimal
    std::int64_t not_after;  // seconds since 1970
  };

  // A ledger of another CA under this name is begun anew. Errors: storage.
  static Result<ImportLedger> open(int state_directory, const std::string& issuer, const std::string& uri);
  [[nodiscard]] const Known* find(const std::string& order) const;
  // On disk, safe from kill -9, when it returns. `name` is for people who read the file.
  Result<Done> add(const std::string& order, const std::string& name, const Known& known);

 private:
  ImportLedger(Descriptor file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}
  Result<Done> append(const std::string& line);

  Descriptor file_;
  std::string path_;
  std::map<std::string, Known> orders_;
};

}  // namespace evercert
