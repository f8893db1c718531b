// What a person can do about a problem. A remedy follows from the case that was recognised, by what the CA or our own code
// calls it and by what the peer said; where none was, it points at the peer's own words.
#pragma once

#include <string>

#include "evercert/result.h"

namespace evercert {

struct Trouble {
  std::string kind;     // to_string(ErrorKind), or "not_served" or "held"
  std::string word{};   // the last component of the problem's type: "caa", "untrusted"; or empty
  std::string said{};   // the peer's words, or our own sentence where there are none
  std::string link{};   // where the peer sends a person, or empty
  bool by_dns = false;  // names are proved by records
  unsigned http_port = 80;
};

Trouble trouble_of(const Error& error, bool by_dns, unsigned http_port = 80);

// One sentence or two.
std::string remedy_for(const Trouble& trouble);
// Where nothing but the kind is known.
std::string remedy_for(const std::string& kind);

}  // namespace evercert
