// Reading the words of settings: the one place that knows how a number, a switch, a URI, a key or an address is spelled.
// Used by check() and the settings file. Every refusal says what to write instead.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "evercert/plan.h"
#include "evercert/result.h"

namespace evercert {

// A word from outside as it may stand in a sentence: in quotes, cut when long, nothing unprintable.
std::string in_quotes(std::string_view word);
// "a, b and c".
// "a b", with the separator " ".
std::string joined(const std::vector<std::string>& words, std::string_view separator);
std::string enumerated(const std::vector<std::string>& words);

// Edits (insert, delete, replace, swap neighbours) that make one word the other.
std::size_t edit_distance(std::string_view from, std::string_view to);
// The word of `known` nearest to a mistyped one, or empty when none is near.
std::string nearest_word(const std::string& word, const std::vector<std::string>& known);
// The end of a sentence that refuses `word`: `, did you mean "..."?`, or `otherwise` when none is near.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& known, const std::string& otherwise);

Error configuration_error(std::string message);

// Words split at commas, empty parts dropped.
std::vector<std::string> split_at_commas(const std::vector<std::string>& words);
// ASCII letters only.
std::string lower_case(std::string_view text);
bool has_control_characters(std::string_view text);

Result<bool> parse_switch(std::string_view word);
Result<unsigned> parse_number(std::string_view word, unsigned least, unsigned most);

struct Uri {
  std::string scheme;  // lower case
  std::string host;    // without brackets
  std::uint16_t port = 0;
};
// An absolute URI with a host; refuses user names and passwords in it, fragments and white space.
Result<Uri> parse_uri(std::string_view text);
bool is_loopback(const std::string& host);

// A directory of an issuer: https, or http on loopback.
Result<Done> check_issuer_uri(const std::string& text);
// A contact URI (RFC 8555 section 7.3), mailto: added where missing.
Result<std::string> parse_contact(const std::string& text);
// The HMAC key of an external account: base64url as issuers print it; white space, padding and the standard alphabet pass.
Result<Secret> parse_hmac_key(std::string_view text);

// An account_key word is a file when it has a slash or a dot, else a kind of key.
bool names_file(std::string_view account_key);

// "environment:NAME" and "credential:NAME": secrets that lie in no file the operator named.
bool names_environment(std::string_view secret);

// "127.0.0.1:443", "[::1]:443", "443", "unix:/path", each may be followed by "proxy_protocol".
Result<std::vector<ProofAddress>> parse_proof_addresses(const std::vector<std::string>& words);

// "192.0.2.1", "192.0.2.1:53", "[2001:db8::1]:53".
Result<DnsServer> parse_dns_server(const std::string& word);

}  // namespace evercert
