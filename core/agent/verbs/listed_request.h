// A certificate request as a CA shows it for an order that was placed elsewhere: bytes, key and names. Used by imports.
// Rule: it comes from outside; what cannot be read is an error, never a request without names.
#pragma once

#include <set>
#include <string>

#include "evercert/result.h"
#include "evercert/secret.h"

namespace evercert {

struct ShownRequest {
  Bytes der;
  std::string key;              // SHA-256 of its public key, hexadecimal
  std::set<std::string> names;  // lower case: those of subjectAltName, and the common name
};

// PEM, or its base64 alone. Errors: issuer_refused.
Result<ShownRequest> read_shown_request(const std::string& text);

}  // namespace evercert
