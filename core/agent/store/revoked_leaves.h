// Which leaves of a certificate were revoked at our wish, and when: revoked/<name>, so that a restart does not forget what has
// to be replaced. Plain JSON: it names digests of certificates, which are public.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "agent/store/store.h"
#include "serving/certificate/bundle.h"

namespace evercert {

// Of the leaves of one certificate, the last are kept.
constexpr std::size_t most_revoked = 32;

struct RevokedLeaf {
  std::string sha256;                          // of its DER, hexadecimal
  std::chrono::system_clock::time_point at{};  // the epoch: not known, it was noted by a release that kept no times
  bool operator==(const RevokedLeaf&) const = default;
};

// What cannot be read is none.
std::vector<RevokedLeaf> read_revoked_leaves(Store& store, const std::string& certificate);
// Errors: storage.
Result<Done> keep_revoked_leaves(Store& store, const std::string& certificate, const std::vector<RevokedLeaf>& leaves);

// Whether one of the bundle's leaves is among them.
bool is_revoked(const Bundle& bundle, const std::vector<RevokedLeaf>& revoked);

// What was revoked at our wish is not taken over again, under whatever name it was and comes back. Errors: configuration.
Result<Done> refuse_revoked(Store& store, BytesView leaf);

}  // namespace evercert
