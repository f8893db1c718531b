// CommercialApi: what one commercial CA's interface can do, in the words that all of them share. One file per CA; driven by
// CommercialIssuer only, which knows orders, ways of proving and people.
// Rule: each function is a few requests and no waiting; errors after an order was placed never say issuer_refused, because an
// order that is paid for is given up only when the CA says that it is dead.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/commercial/commercial_account.h"
#include "agent/issuer/issuer.h"
#include "serving/certificate/bundle.h"

namespace evercert {

enum class Stage { working, people, issued, dead };

// Whether something that a CA was asked for is true. `no`: it shows nothing of it.
enum class Settled { no, requested, refused, yes };

struct DomainProgress {
  std::string name;  // as the CA writes it
  bool verified = false;
  bool rejected = false;
};

struct Progress {
  Stage stage = Stage::working;
  std::string said;       // people: who must do what and where; dead: why
  bool may_pass = false;  // people: what often passes by itself within minutes
  // The CA has put another order in the place of this one. Which of these it is is told by the key of its certificate; none:
  // it does not show yet.
  bool replaced = false;
  std::vector<std::string> successors{};
  bool domains_known = false;  // the CA says by now what it has validated
  std::vector<DomainProgress> domains;
  std::optional<std::chrono::system_clock::time_point>
      ends;  // of the order, where the CA tells it; certificates may end sooner
};

// An order that has brought a certificate and may bring more until its end.
struct Subscription {
  std::string order;               // the CA's reference
  std::vector<std::string> names;  // of the certificate it brought last
  std::string serial;              // of that, as LeafFacts has it
  std::int64_t not_before = 0;     // of that, in seconds since 1970
  std::int64_t not_after = 0;
  std::int64_t ends = 0;
};

// How one name is to be proved.
struct Task {
  enum class Readiness { open, verified, not_yet, refused };
  Readiness readiness = Readiness::open;
  std::string said;  // refused: why
  std::string file;  // http-file: its name and content
  std::string content;
  std::string record;  // dns: its name; empty: as validation_name says
  std::string value;
  std::vector<std::string> addresses;  // email: those the CA would write to
};

class CommercialApi {
 public:
  virtual ~CommercialApi() = default;
  // The name of the CA for sentences: "CERTInext".
  [[nodiscard]] virtual std::string title() const = 0;
  // A login that cannot succeed by accident; says who we are there.
  virtual Result<std::string> test_login() = 0;

  // The CA's number of the new order. Errors: connection, when the outcome is unknown; all others mean that there is none.
  virtual Result<std::string> place(const Wanted& wanted) = 0;
  // By our mark in it.
  virtual Result<std::optional<std::string>> find(const Wanted& wanted, const std::vector<std::string>& known) = 0;

  // Whether the running order can bring what is wanted.
  [[nodiscard]] virtual bool can_reissue(const Subscription&, const Wanted&) const { return false; }
  // Another certificate of a running order, with our mark where the CA takes one; the CA's number to track it by. Errors as
  // place().
  virtual Result<std::string> reissue(const Subscription& subscription, const Wanted& wanted);
  // Whether a reissue whose answer was lost arrived.
  virtual Result<std::optional<std::string>> find_reissue(const Subscription& subscription, const Wanted& wanted,
                                                          const std::vector<std::string>& known);

  virtual Result<Progress> track(const std::string& order) = 0;
  virtual Result<Task> task(const std::string& order, const std::string& name, ChallengeKind kind) = 0;
  // The CA shall look now; `address` with email, to which it then writes.
  virtual Result<Done> verify(const std::string& order, const std::string& name, ChallengeKind kind,
                              const std::string& address) = 0;
  // All certificates that belong to the order as PEM, in any order. Errors: is_waiting(), where it may come; a refusal:
  // issuer_refused.
  virtual Result<std::string> download(const std::string& order) = 0;
  // Of the same login; null where the CA shows nothing of it. Must not outlive us.
  virtual std::unique_ptr<CommercialAccount> make_account() { return nullptr; }
  // Asks for it; track() tells when it is true.
  virtual Result<Done> cancel(const std::string& order, const std::string& why) = 0;
  // Asks for it; revocation_of() tells when it is true. `comment`: for the CA's records, never empty.
  virtual Result<Done> revoke(const LeafFacts& leaf, int reason, const std::string& comment) = 0;
  virtual Result<Settled> revocation_of(const LeafFacts& leaf) = 0;
};

}  // namespace evercert
