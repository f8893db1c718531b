// A CA, from the outside: it keeps orders, asks the servers for answers to its challenges, issues certificates, and does all of
// it well or badly, as its weather has it. What our side of a conversation makes of its words is the product's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/issuer/issuer.h"
#include "serving/base/openssl_handles.h"
#include "simulation/dice.h"
#include "simulation/history.h"
#include "simulation/times.h"

namespace evercert::simulation {

// How it is just now. All of it is one in so many requests (or orders); 0: never.
struct Weather {
  bool down = false;           // nobody gets through
  unsigned lost_requests = 0;  // it never hears of them
  unsigned lost_answers = 0;   // done, but nobody is told
  unsigned refusals = 0;       // problems of every type, for no reason
  unsigned limits = 0;         // rateLimited
  unsigned stale = 0;          // an older answer comes once more
  unsigned odd_waits = 0;      // Retry-After of 0, of years
  unsigned failing = 0;        // validations fail
  unsigned forgets = 0;        // an order is gone
  unsigned people = 0;         // somebody there has to agree first
  unsigned bad = 0;            // certificates that are no good
  bool never_ready = false;    // finalize leaves the order ready
  milliseconds slow{0};        // it works on a certificate for up to this
};

struct CaOrder {
  std::string reference;
  Wanted wanted;
  std::string need;  // names and kind of key
  Time placed_at;
  IssuerOrderStatus status = IssuerOrderStatus::pending;
  std::optional<Error> problem;
  std::vector<std::string> tokens;
  std::vector<std::string> unproved;  // names
  std::string failed_name;            // that could not be validated
  Time ready_at;
  Time valid_at;
  std::optional<Time> people_until;
  bool handed_out = false;  // its challenges
  bool gone = false;        // it knows nothing of it any more
  bool told_dead = false;   // our side was told, in some way, that nothing will come of it
  bool abandoned = false;   // our side has given it up, or tried to
  bool collected = false;
  Bytes leaf;
};

struct IssuedLeaf {
  Time not_before;
  Time not_after;
  std::vector<Identifier> names;
  Time issued_at;
  bool good = true;
  bool revoked = false;
};

class Ca {
 public:
  struct World {
    const Times& times;
    Dice& dice;
    History& history;
    // Before a request leaves (nobody has heard of it), and before its answer is read. Time passes; may throw Killed.
    std::function<void(const std::string& action, bool after)> on_wire;
    // Asks whichever server has the name for the answer to a challenge.
    std::function<std::optional<std::string>(const Identifier& name, const std::string& token)> ask_server;
    // What was asked of it, for the rules.
    std::function<void(const Ca& ca, const std::string& action, const CaOrder* order)> asked;
    std::function<void(const Ca& ca, const Wanted& wanted)> placed;
    std::function<void(const Ca& ca, const std::string& action, const CaOrder* order, const Error& error)> refused;
    std::function<void(const Ca& ca, const std::string& name)> not_validated;
  };
  Ca(IssuerSpec spec, World world);

  [[nodiscard]] const IssuerSpec& spec() const { return spec_; }
  // What one process has of it.
  std::unique_ptr<Issuer> issuer(const IssuerSpec& spec);

  Weather weather;
  hours lifetime{24 * 90};
  [[nodiscard]] const std::map<std::string, CaOrder>& orders() const { return orders_; }
  [[nodiscard]] const std::map<Bytes, IssuedLeaf>& leaves() const { return leaves_; }  // by SHA-256
  [[nodiscard]] const std::string& placing() const { return placing_; }                // the need that was asked for last
  static std::string need_of(const Wanted& wanted);

  // The issuer's functions, on the CA's side.
  Result<IssuerOrder> place(const Wanted& wanted);
  Result<std::optional<IssuerOrder>> find(const Wanted& wanted, const std::vector<std::string>& known);
  Result<std::vector<Challenge>> challenges(IssuerOrder& order);
  Result<Done> respond(const IssuerOrder& order, const Challenge& challenge);
  Result<IssuerOrder> refresh(const IssuerOrder& order);
  Result<IssuerOrder> finalize(const IssuerOrder& order, const Wanted& wanted);
  Result<IssuedCertificate> collect(const IssuerOrder& order);
  Result<Done> abandon(const IssuerOrder& order);
  Result<Fulfilment> revoke(BytesView leaf);

 private:
  // The way there: lost, refused, limited. nullopt: it arrived.
  std::optional<Error> begin(const std::string& action, CaOrder* order);
  // The way back.
  std::optional<Error> end(const std::string& action, CaOrder* order);
  Error refuse(const std::string& action, CaOrder* order, Error error);
  CaOrder* known(const IssuerOrder& order);
  Error forgotten(const std::string& action);
  void move_on(CaOrder& order);
  IssuerOrder told(CaOrder& order);
  void validate(CaOrder& order, const std::string& name, const std::string& token);
  Bytes sign(CaOrder& order);
  std::optional<seconds> odd_wait();
  [[nodiscard]] bool one_in(unsigned count) const { return count != 0 && world_.dice.once_in(count); }

  IssuerSpec spec_;
  World world_;
  std::map<std::string, CaOrder> orders_;
  std::map<Bytes, IssuedLeaf> leaves_;
  std::map<std::string, IssuerOrder> said_before_;
  std::map<std::string, Time> validated_;  // names, until then
  std::string placing_;
  std::uint64_t next_order_ = 1;
  std::uint64_t serial_ = 1;
};

}  // namespace evercert::simulation
