// The look at CAA records (RFC 8659) before an order: a CA that they do not permit would refuse, after the order was paid for
// or counted. Used by the issuers that know under which names their CA looks for itself.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "agent/issuer/issuer.h"
#include "agent/net/dns_message.h"

namespace evercert {

// `identities`: the CA's names in CAA records; without any, nothing is looked up. Errors: challenge_failed with the problem
// "caa", naming the record. A look-up that fails forbids nothing: the CA looks, too.
Result<Done> check_caa(const IssuerSpec& spec, const std::vector<std::string>& identities,
                       const std::vector<Identifier>& identifiers, const std::stop_token& stop);

// Why the records of one name forbid it to a CA of these names; empty: they do not.
std::string caa_objection(const std::vector<DnsRecord>& records, bool wildcard, const std::vector<std::string>& identities);

}  // namespace evercert
