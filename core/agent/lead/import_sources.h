// Certificates as other programs keep them, read for adoption: by the command line as root, by the agent where an issuer names
// a path. Follows certbot's own links, and changes nothing.
#pragma once

#include <string>
#include <vector>

#include "evercert/result.h"
#include "serving/certificate/bundle.h"

namespace evercert {

// One thing found: either a pair, or the reason why it cannot be one.
struct Found {
  std::string label;  // certbot's lineage, or the file name without its ending
  std::string name;   // what it would be called: as there, if that is one of its names, else its first name
  Result<BundlePair> pair;
};

// `path`: certbot's folder (with live/ in it), live/ itself, or one lineage. Errors: configuration, when it is none of them.
Result<std::vector<Found>> read_certbot(const std::string& path);

// `path`: the state_path of one issuer of nginx's own ACME module: <name>-<hash>.crt (leaf and chain) beside
// <name>-<hash>.key. The account key in it is left alone: an account costs nothing.
Result<std::vector<Found>> read_nginx_acme(const std::string& path);

// `path`: mod_md's MDStoreDir, or its domains/ folder: domains/<name>/ with pubcert.pem and privkey.pem, or
// pubcert.<curve>.pem and privkey.<curve>.pem. Of several kinds of key in one folder the elliptic one is taken.
Result<std::vector<Found>> read_mod_md(const std::string& path);

}  // namespace evercert
