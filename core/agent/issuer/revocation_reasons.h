// The reasons to revoke (RFC 5280 section 5.3.1), and each CA's own words for those that it takes. Read by the CAs' files, the
// agent's verbs and the command line.
// Rule: nobody else knows either.
#pragma once

#include <array>

namespace evercert {

// A CA's word is null where it does not take the reason. Which words The SSL Store knows is not documented; it takes a text.
struct RevocationReason {
  int number;
  const char* name;
  const char* certinext_v1;
  const char* certinext_v2;
  const char* sectigo;
  const char* digicert;
  const char* ssl_store;
};

inline constexpr std::array<RevocationReason, 6> revocation_reasons{
    {{0, "unspecified", nullptr, nullptr, "0", "unspecified", "unspecified"},
     {1, "keyCompromise", "1", "key-compromise", "1", "key_compromise", "keyCompromise"},
     {3, "affiliationChanged", "3", "affiliation-changed", "3", "affiliation_changed", "affiliationChanged"},
     {4, "superseded", "4", "superseded", "4", "superseded", "superseded"},
     {5, "cessationOfOperation", "5", "cessation-of-operation", "5", "cessation_of_operation", "cessationOfOperation"},
     {9, "privilegeWithdrawn", "9", "privilege-withdrawn", nullptr, nullptr, "privilegeWithdrawn"}}};

}  // namespace evercert
