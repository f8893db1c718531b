// Self-signed stand-ins for certificates that nobody has issued yet. Kept in memory or written as derived data; never stored.
#pragma once

#include <string>
#include <vector>

#include "serving/certificate/bundle.h"

namespace evercert {

// P-256 or RSA 2048, valid for a week.
Result<BundlePair> make_placeholder_pair(const std::string& certificate, const std::vector<Identifier>& names,
                                         KeyAlgorithm algorithm);

}  // namespace evercert
