// Bundles as PEM. Used by write_pem_files() and by whatever of the agent hands certificates to software that reads PEM.
// Rule: text that holds a private key lives in a Secret.
#pragma once

#include <vector>

#include "evercert/pem.h"
#include "serving/certificate/bundle.h"

namespace evercert {

// The name of the file for one kind of key of a certificate.
std::string pem_file_name(const CertificateSpec& certificate, KeyAlgorithm algorithm);

// Leaf, chain, key. Errors: key_provider (the key is a reference, not bytes), internal.
Result<Secret> pem_of(const BundlePair& pair);

// One file for each pair that the certificate wants. Where one kind of key is wanted and the bundle has only another (a
// certificate that was taken over), that one's: it is served until the wanted one is there.
Result<std::vector<PemFile>> pem_files_of(const CertificateSpec& certificate, const Bundle& bundle);

}  // namespace evercert
