// Proof: asks the running server itself which certificate it presents. "Renewed" is believed only after that. Used by the
// agent after each publication; blocks, so it runs on a worker thread.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "evercert/plan.h"
#include "evercert/result.h"
#include "evercert/secret.h"

namespace evercert {

struct ProofOutcome {
  bool served = false;   // the leaf presented is the one that was expected
  std::string listener;  // ProofAddress::text()
  std::string message;   // one sentence: what was presented instead, or that it is served
};

// One handshake with SNI `server_name` (a wildcard is asked with a probe label, an address without SNI), restricted to one
// kind of key, without resumption and without validation: only the leaf's digest is compared. It counts as soon as the
// Certificate message is here, even if the handshake then fails because the server wants a client certificate.
// Errors: connection, when no certificate came before `timeout`; internal, when OpenSSL refused our own set-up.
Result<ProofOutcome> prove(const ProofAddress& address, const std::string& server_name, KeyAlgorithm algorithm,
                           BytesView leaf_sha256, std::chrono::milliseconds timeout);

// prove(), or what stands in for it.
using Prover =
    std::function<Result<ProofOutcome>(const ProofAddress& address, const std::string& server_name, KeyAlgorithm algorithm,
                                       BytesView leaf_sha256, std::chrono::milliseconds timeout)>;

// Where else a listener for every address is reached, when something else listens at the first one.
std::vector<ProofAddress> other_addresses(const ProofAddress& address);

}  // namespace evercert
