// Certificates as PEM files, for servers and programs that read nothing else: leaf, chain and key in one file for each kind of
// key. Derived data: the sealed bundles stay the truth. Used by HAProxy's starter and by the agent.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "evercert/lines.h"
#include "evercert/log.h"
#include "evercert/plan.h"
#include "evercert/secret.h"
#include "evercert/state.h"

namespace evercert {

struct PemFile {
  std::string name;  // "www.example.com.pem", with ".ecdsa" or ".rsa" behind it where a certificate has both kinds of key
  Secret content;
};

// What stands in a directory of PEM files, by certificate.
struct WrittenPem {
  std::map<std::string, std::uint64_t> generations;  // 0: a stand-in, another line's, or an unknown one
  // Files of lines that are not in the plan, which have names of this certificate meanwhile: its next generation belongs into
  // them as well, since the server chooses among files by the names in them.
  std::map<std::string, std::vector<std::string>> also;
  // What other certificates have for names of this one: given to the server again after the next generation of this one, they
  // stand behind it.
  std::map<std::string, std::map<std::string, std::vector<PemFile>>> behind;
};

enum class PemPurpose {
  start,
  test,  // of a configuration, beside a server that runs: only what is missing or of no use is written, nothing is removed
};

// Where a server finds its certificates before it has asked anybody: writes the newest usable generation of each certificate of
// `plan` into `directory` (made when missing, 0700; files 0600), what else is `stored` for its names where there is none, what
// stands there from before as long as it is valid, or a self-signed stand-in, and removes what it wrote earlier for
// certificates that nobody needs. What it did not write is neither replaced nor removed. `serving` absent: nothing stored can
// be used. A file that cannot be replaced stays as it is. Errors: storage, configuration (the directory belongs to somebody
// else).
Result<WrittenPem> write_pem_files(const std::string& directory, PemPurpose purpose, const Plan& plan,
                                   const std::optional<SealKey>& serving, const std::vector<StoredLine>& stored, Logger& log);

}  // namespace evercert
