// Certificates and requests as bytes become OpenSSL's objects here. OpenSSL 3.0 decodes the public key each time it reads one,
// which takes a quarter of a millisecond; an order needs its leaf and its chain four times over. So the ones read last are
// kept.
#pragma once

#include "evercert/result.h"
#include "evercert/secret.h"
#include "serving/base/openssl_handles.h"

namespace evercert {

// The object may be shared with others: it is not to be changed. Thread-safe. Errors: storage (it cannot be read, or other
// bytes follow it).
Result<CertificateHandle> read_certificate(BytesView der);

// SubjectPublicKeyInfo of a certificate (RFC 5280 section 4.1) or of a request (RFC 2986 section 4.1), as it stands in the
// bytes: nothing of it is judged. Empty: there is none where it should be.
BytesView public_key_in_certificate(BytesView der);
BytesView public_key_in_request(BytesView der);

}  // namespace evercert
