// Bundle: one generation of one certificate, whole: for each kind of key the leaf, its chain and the key (or a reference to
// it), and what a person wants to know of it. The truth on disk is one sealed file per bundle.
//
// Content of the file: CBOR (RFC 8949) of {"format":1,"name","issuer","identifiers":[…],"issued_at","origin",
// "pairs":[{"key","leaf":bytes,"chain":[bytes],"private":bytes | "reference":text}]}. Changes only by addition.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "evercert/plan.h"
#include "evercert/result.h"
#include "evercert/state.h"
#include "serving/base/openssl_handles.h"

namespace evercert {

constexpr unsigned bundle_format = 1;

struct BundlePair {
  KeySpec key;
  Bytes leaf;                // DER
  std::vector<Bytes> chain;  // DER, without the root
  Secret private_key;        // PKCS#8 DER, or empty when there is a reference
  std::string reference;     // where the key lives (a PKCS#11 URI), or empty
};

struct Bundle {
  std::string name;
  std::uint64_t generation = 0;
  std::string issuer;  // name of the issuer, or "import"
  std::vector<Identifier> identifiers;
  std::chrono::system_clock::time_point issued_at;
  std::string origin;  // "order", "import", "rollback to 3"
  std::vector<BundlePair> pairs;
};

Result<Bytes> seal_bundle(const SealKey& serving, const Bundle& bundle);
// The file of a bundle for open_bundle(), nullopt: there is none. Of one whose header says already that it does not open, that
// header alone: whoever may write there can make many that are large.
Result<std::optional<Bytes>> read_bundle(const StateFiles& state, const SealKey& serving, const std::string& name,
                                         std::uint64_t generation);
// Opens and reads; does not judge the content. Errors as seal_error(); a newer content format: action_required.
Result<Bundle> open_bundle(const SealKey& serving, const std::string& name, std::uint64_t generation, BytesView file);

// The proof before publication and after opening: each key matches its leaf and signs, the leaf covers `identifiers` (it may
// cover more), not_before is not after `now` + 5 min, not_after is after not_before, each chain links up. Errors: storage,
// naming what is wrong.
Result<Done> verify_bundle(const Bundle& bundle, std::chrono::system_clock::time_point now);

// What is read off a leaf.
struct LeafFacts {
  std::string serial;  // lower-case hexadecimal
  // Held to 1970 … 2255 (base/bounds.h), whatever the certificate says.
  std::chrono::system_clock::time_point not_before;
  std::chrono::system_clock::time_point not_after;
  std::vector<Identifier> identifiers;
  Bytes sha256;      // of the DER
  Bytes public_key;  // SubjectPublicKeyInfo, DER
};
Result<LeafFacts> leaf_facts(BytesView leaf);

// Path below state/ of a bundle.
std::string bundle_path(std::string_view name, std::uint64_t generation);

}  // namespace evercert
