// What an ACME server offers and where (RFC 8555 section 7.1.1). Read once, kept for a day.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "evercert/result.h"

namespace evercert {

struct Directory {
  std::string new_nonce;
  std::string new_account;
  std::string new_order;
  std::string revoke_cert;       // empty: not offered
  std::string key_change;        // empty: not offered
  std::string renewal_info;      // RFC 9773; empty: not offered
  std::string terms_of_service;  // empty: none
  std::string website;
  bool external_account_required = false;
  std::map<std::string, std::string> profiles;  // name and description; empty: not offered
  std::vector<std::string> caa_identities;      // RFC 8555 section 9.7.6, in lower case
};

// `uri`: where the text came from. An https directory must not send us to plain http. Errors: connection, since a garbled
// answer is worth asking again.
Result<Directory> parse_directory(std::string_view text, const std::string& uri);

}  // namespace evercert
