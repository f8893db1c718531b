// Which leaves of a certificate were revoked at our wish: revoked/<name>, so that a restart does not forget what has to be
// replaced. Plain JSON: it names digests of certificates, which are public.
#pragma once

#include <string>
#include <vector>

#include "agent/store/store.h"

namespace evercert {

// Of the leaves of one certificate, the last are kept.
constexpr std::size_t most_revoked = 32;

// SHA-256 of each leaf's DER, hexadecimal. What cannot be read is none.
std::vector<std::string> read_revoked_leaves(Store& store, const std::string& certificate);
// Errors: storage.
Result<Done> keep_revoked_leaves(Store& store, const std::string& certificate, const std::vector<std::string>& leaves);

}  // namespace evercert
