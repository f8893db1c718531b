// Which addresses of a CA get our signed requests and our credentials (decision 0031).
#pragma once

#include <string>
#include <string_view>

#include "evercert/result.h"

namespace evercert {

// The type of the problem of an Error for an address that must not be used.
inline constexpr const char* address_not_encrypted = "urn:evercert:error:unencrypted";

// Scheme, host and port: what an operator recognizes; the path may name accounts and orders, what stands before an @ is secret.
std::string origin_of(std::string_view uri);

// `address` is what the CA named (in its directory, an order, a Location, a Link), `configured` the issuer's uri. Whatever
// host it names, it must be https; plain http only where the issuer itself was configured so, which configuration allows on
// this host alone. `who` and `what` make the sentence. Errors: connection, since the CA may say something else next time.
Result<Done> check_address(std::string_view address, std::string_view configured, const std::string& who,
                           const std::string& what);

}  // namespace evercert
