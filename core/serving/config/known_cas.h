// Certificate authorities that `uri` of an issuer may name by a word instead of an address. The one place that knows their
// directories (RFC 8555 section 7.1.1); the page docs/reference/certificate-authorities.md is printed from it and cites where
// each fact is from.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace evercert {

struct KnownCa {
  std::string_view word;       // as it is written: letsencrypt-staging
  std::string_view title;      // as people call it
  std::string_view directory;  // empty: there is none to be named, and `remark` says why
  // Where the external account key (RFC 8555 section 7.3.4) comes from, after "get them"; empty: the CA wants none.
  std::string_view account;
  bool staging;             // nobody trusts what it issues
  std::string_view remark;  // a sentence without full stop, or empty
  std::string_view source;  // the CA's own page
};

std::span<const KnownCa> known_cas();
// By its word, or null.
const KnownCa* known_ca(std::string_view word);
// By its directory, or null.
const KnownCa* known_ca_at(std::string_view directory);
// Those with a directory, in the table's order.
std::vector<std::string> known_ca_words();

// What stands after `uri` of an ACME issuer and is to name a CA: a word without anything that an address has.
bool may_name_ca(std::string_view text);

// docs/reference/certificate-authorities.md; gates compare.
std::string authorities_reference();

}  // namespace evercert
