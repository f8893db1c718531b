// Names as people and servers write them → identifiers a certificate may be asked for.
// Used by check() only; everything after it trusts Identifier to be normal.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "evercert/plan.h"
#include "evercert/result.h"

namespace evercert {

// Lower case, no trailing dot, A-labels (UTS 46, non-transitional), or an IP address in canonical form. Errors
// (configuration) name the rule that is broken: regular expressions, wildcards anywhere but as the whole first label,
// labels of no or more than 63 characters, names of more than 253, characters that no host name has.
Result<Identifier> parse_identifier(std::string_view text);

// A server's own name as identifiers: ".x.y" becomes x.y and *.x.y; "_" and "" become nothing.
Result<std::vector<Identifier>> parse_server_name(std::string_view text);

// What a certificate is called after its first identifier: the value, colons of IPv6 written as dashes ("0--1" for ::1).
std::string certificate_name_of(const Identifier& first);
// A name given by the operator: may be a directory's name; an IP address is written as above. Errors: configuration.
Result<std::string> parse_certificate_name(std::string_view text);

}  // namespace evercert
