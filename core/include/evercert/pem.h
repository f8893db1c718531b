// Certificates as PEM files, for servers and programs that read nothing else: leaf, chain and key in one file for each kind of
// key. Derived data: the sealed bundles stay the truth. Used by HAProxy's starter and by the agent.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "evercert/log.h"
#include "evercert/plan.h"
#include "evercert/secret.h"
#include "evercert/state.h"

namespace evercert {

struct PemFile {
  std::string name;  // "www.example.com.pem", with ".ecdsa" or ".rsa" behind it where a certificate has both kinds of key
  Secret content;
};

// Where a server finds its certificates before it has asked anybody: writes the newest usable generation of each certificate of
// `plan` into `directory` (made when missing, 0700; files 0600), a self-signed stand-in where there is none, and removes PEM
// files of certificates that are not in the plan. `serving` absent: stand-ins only. A file that cannot be replaced stays as it
// is. Returns the generation that stands there of each certificate, 0 for a stand-in or an unknown one. Errors: storage,
// configuration (the directory belongs to somebody else).
Result<std::map<std::string, std::uint64_t>> write_pem_files(const std::string& directory, const Plan& plan,
                                                             const std::optional<SealKey>& serving, Logger& log);

}  // namespace evercert
