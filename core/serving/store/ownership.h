// Who may change what a path names. A started-by-root server trusts what lies below state_path, and writes private keys below
// pem_path: nobody else may be able to put something else there, neither in it nor anywhere above.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "evercert/result.h"

namespace evercert {

// With root's rights: every directory on the way, over links, belongs to root and is closed to others' writing; a sticky one
// (/tmp) may be open to them as long as what the path names in it is root's. `path` itself is never open:
// where it is root's and only its group may write, that is taken back. What does not exist yet is no fault. Without root's
// rights there is nothing to tell apart. `what`: "the state directory". Errors: configuration, one sentence with path, owner,
// mode and what to type.
Result<Done> check_only_root_writes(const std::string& path, const std::string& what);

// For root at a state directory that is not root's: the one user to whom all of it belongs, and every directory above that is
// not root's, as where a server never had root's rights. nullopt: several could change it, as where root's was given away.
std::optional<std::uint32_t> single_owner(const std::string& state_path);

}  // namespace evercert
