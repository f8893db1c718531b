// The certificates that a CA hands out, as PEM (RFC 8555 section 9.1) or wrapped in PKCS#7: untrusted text that becomes a leaf
// and its issuers in order, or an error that says what is wrong with it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/issuer/issuer.h"
#include "evercert/result.h"
#include "evercert/secret.h"

namespace evercert {

struct Chain {
  IssuedCertificate certificates;         // sorted leaf to top, without the root
  std::vector<std::string> issuer_names;  // common names of the issuers of each, and of the root if it was sent
};

// `request_key`: what request_key_digest() gave. Servers send chains in any order, with roots, with
// certificates that belong to others: what links to our leaf is kept. Errors: issuer_refused.
Result<Chain> read_chain(std::string_view pem, const std::string& request_key);

// The same for a certificate whose key we do not know: its leaf is the one that is no CA's.
Result<Chain> read_issued_chain(std::string_view pem);

// SHA-256 of the SubjectPublicKeyInfo of a request (PKCS#10 DER), hexadecimal.
Result<std::string> request_key_digest(BytesView request);

}  // namespace evercert
