// Takes over what exists in the account at a commercial CA: reads its orders page by page, downloads the certificates,
// publishes those for which we hold the key under the configured certificate that has their names, and tracks open orders of
// ours. Rule: one request to the CA a step, and memory that does not grow with the certificates; what was read is in the ledger
// before the next step, so that an interrupted import goes on where it was.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/commercial/commercial_account.h"
#include "agent/order/order_record.h"
#include "agent/publish/publication.h"
#include "agent/store/import_ledger.h"

namespace evercert {

struct GivenKey {
  KeySpec spec;
  Secret bytes;  // PKCS#8 DER
};

// SHA-256 of a public key (SubjectPublicKeyInfo), hexadecimal.
using KeyDigest = std::string;

class AccountImport {
 public:
  struct Parts {
    IssuerAccount& account;
    const IssuerSpec& issuer;
    const Clock& clock;
    Publication& publication;
    Store& store;
    const SealKey& serving;
    // Begins to track the order, or says why not.
    std::function<std::optional<std::string>(OrderRecord record)> take_over;
    // What happens, one line for a person.
    std::function<void(const char* step, const std::string& certificate, const std::string& sentence)> tell;
  };
  struct Wish {
    OrderFilter filter;
    std::map<KeyDigest, GivenKey> given;
    std::map<std::string, CertificateSpec> configured;  // by set_of() its names
    std::map<KeyDigest, std::string> published;         // keys of current bundles, and whose they are
    std::set<std::string> under_way;                    // orders at this CA that are ours already
  };
  AccountImport(Parts parts, Wish wish, ImportLedger ledger);

  // One request, or none. nullopt: go on at once; a time: go on then; done() tells the end.
  std::optional<Time> step();
  [[nodiscard]] bool done() const { return done_; }
  // Why it ended before everything was read.
  [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }
  [[nodiscard]] std::string summary() const;
  [[nodiscard]] bool nothing_refused() const { return refused_ == 0; }

  static std::string set_of(const std::vector<Identifier>& identifiers);

 private:
  struct Candidate {
    std::string order;
    std::string name;
    KeyDigest key;
    std::int64_t not_after;
  };
  Result<Done> advance();
  Result<Done> read_page();
  Result<Done> look_at(ListedOrder order);
  Result<Done> look_at_open(const ListedOrder& order);
  Result<Done> look_at_issued(const ListedOrder& order);
  Result<Done> leave_out(const ListedOrder& order, const char* why);
  Result<Done> bind(const Candidate& candidate);
  Result<Done> publish(const Candidate& candidate, IssuedCertificate certificate);
  [[nodiscard]] bool is_there(const Candidate& candidate) const;
  Result<BundlePair> pair_for(const KeyDigest& key) const;
  std::optional<Time> failed(const Error& error);
  void refuse(const std::string& name, const std::string& sentence);
  void tell_progress();
  [[nodiscard]] std::string who() const { return "issuer " + parts_.issuer.name; }

  const Parts parts_;
  const Wish wish_;
  ImportLedger ledger_;
  std::deque<ListedOrder> rows_;  // of one page
  std::string next_page_;
  bool all_listed_ = false;
  std::set<std::string> seen_;  // pages shift while orders are placed
  std::vector<Candidate> candidates_;
  bool sorted_ = false;
  bool done_ = false;
  std::optional<Error> failure_;
  unsigned tries_ = 0;        // of the same request
  unsigned passed_over_ = 0;  // orders in a row that could not be read
  std::size_t total_ = 0;
  std::size_t told_at_ = 0;
  std::size_t downloads_ = 0;
  std::size_t left_out_ = 0;
  std::size_t adopted_ = 0;
  std::size_t tracked_ = 0;
  std::size_t there_ = 0;
  std::size_t without_key_ = 0;
  std::size_t unmatched_ = 0;
  std::size_t refused_ = 0;
};

}  // namespace evercert
