// HAProxy's stats socket, to have a running HAProxy serve what its files hold already. For builds without Lua, and for
// certificates that came after HAProxy's start.
// Rule: after any failure our transaction is aborted, and none is begun beside one of somebody else, because HAProxy 2.6 would
// apply what comes next to the open one whatever certificate that names.
#pragma once

#include <string>

#include "evercert/pem.h"

namespace evercert {

struct RuntimeFile {
  std::string directory;  // as `bind ... crt` names it, without a slash at its end
  std::string name;
  BytesView leaf;         // what must be served
  const Secret& content;  // the same with chain and key, proved before
  [[nodiscard]] std::string path() const { return directory + "/" + name; }
};

// Nothing is exchanged that HAProxy has already; what it has never heard of is made, and added to the list of its directory.
// Errors: connection (nobody answers), internal (HAProxy refuses, with its own words and what to do).
Result<Done> bring_to_haproxy(const std::string& socket_path, const RuntimeFile& file);

// Has HAProxy's master start new workers, over its own socket (haproxy -S).
Result<Done> reload_by_master(const std::string& socket_path);

}  // namespace evercert
