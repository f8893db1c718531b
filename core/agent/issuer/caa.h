// The look at CAA records (RFC 8659) before an order: a CA that they do not permit would refuse, after the order was paid for
// or counted. Used by the issuers that know under which names their CA looks for itself.
#pragma once

#include <stop_token>

#include "agent/issuer/issuer.h"

namespace evercert {

// Errors: challenge_failed with the problem "caa", naming the record. A look-up that fails forbids nothing: the CA looks, too.
Result<Done> check_caa(const IssuerSpec& spec, const std::vector<Identifier>& identifiers, const std::stop_token& stop);

}  // namespace evercert
