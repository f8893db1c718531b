// Bundles in the form a connection wants them: parsed once, shared by all connections.
// Rule: intermediates are shared between certificates; a worker with 10,000 of them holds each intermediate once.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "evercert/catalog.h"
#include "serving/base/openssl_handles.h"
#include "serving/certificate/bundle.h"

namespace evercert {

using SharedChain = std::shared_ptr<STACK_OF(X509)>;

// Chains by digest, as long as some certificate uses them.
class ChainPool {
 public:
  Result<SharedChain> intern(const std::vector<Bytes>& chain);

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, std::weak_ptr<STACK_OF(X509)>> chains_;
};

struct ServedPair {
  CertificateHandle leaf;
  KeyHandle key;
  SharedChain chain;  // never null: without one OpenSSL would build a chain itself, at each handshake
};

// Errors: storage (a certificate or key in the bundle does not parse, or they do not belong together), key_provider (the key
// is a reference).
Result<std::shared_ptr<const ServedCertificate>> parse_bundle(const Bundle& bundle, ChainPool& chains);
std::shared_ptr<const ServedCertificate> make_served(std::uint64_t generation, std::vector<ServedPair> pairs);

}  // namespace evercert
