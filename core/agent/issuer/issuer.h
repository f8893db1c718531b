// Issuer: a CA account we can order from. The order machine (order/) drives it; one implementation per kind of CA. Each
// function is one visible outside action or a read; none of them waits or retries (badNonce and a lost account excepted, which
// a CA's protocol heals within the same attempt): waiting and retrying are decided by renewal/.
//
// Thread-safe: several orders run at once on one Issuer.
#pragma once

#include <chrono>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "evercert/plan.h"
#include "evercert/result.h"

namespace evercert {

// What is wanted, complete before anything is sent: key and request exist and are on disk.
struct Wanted {
  std::string certificate;
  std::vector<Identifier> identifiers;
  KeySpec key;
  Bytes request;          // PKCS#10, DER
  std::string reference;  // our own, unique per order: sent along where the CA has a field for it
  // What the issuer's last certificate brought for this one (IssuedCertificate::subscription), or empty.
  std::string subscription = {};
};

// The CA's view of an order, in RFC 8555's words, plus people.
enum class IssuerOrderStatus { pending, ready, processing, valid, invalid, waiting_for_people };
const char* to_string(IssuerOrderStatus status);

struct IssuerOrder {
  std::string reference;  // the CA's: an order URL or number
  IssuerOrderStatus status = IssuerOrderStatus::pending;
  std::string detail;                               // JSON text private to the issuer, kept in the order record as it is
  std::optional<std::chrono::seconds> retry_after;  // when to ask again, if the CA said so
  std::optional<Error> problem;                     // why it is invalid, or what people must do
  bool authorize_again = false;                     // pending, with challenges that were not handed out yet
  // After which the CA will take it for invalid (RFC 8555 section 7.1.3), by our clock, if the CA says so. Not kept in records.
  std::optional<std::chrono::system_clock::time_point> expires = std::nullopt;
};

// One proof of control that is still open.
struct Challenge {
  ChallengeKind kind = ChallengeKind::http_01;
  Identifier identifier;
  std::string token;     // http-file: HOST/FILE; dns-txt, dns-cname: the record's name
  std::string answer;    // http-01: the key authorization; http-file: the content; dns-txt, dns-cname: the record's value
  std::string location;  // private to the issuer: how to say that it is ready
};

// The type of the problem that an issuer states when the CA knows nothing of an order any more: nothing can be finished or
// given up there, and a new order loses nothing.
inline constexpr const char* order_forgotten = "urn:evercert:error:orderForgotten";
bool is_forgotten(const Error& error);

// The type of the problem of an order that is over because somebody, or the CA's own rules, said no: a person decides whether
// there is to be another one.
inline constexpr const char* order_rejected = "urn:evercert:error:orderRejected";

// And of one that was cancelled on request.
inline constexpr const char* order_cancelled = "urn:evercert:error:orderCancelled";

// The type of the problem of an order that was given up because the CA kept it open without end.
inline constexpr const char* order_stuck = "urn:evercert:error:orderStuck";

// The type of the problem of a purchase that may be at the CA while its record is gone: a person finds out what became of it.
inline constexpr const char* order_lost = "urn:evercert:error:orderLost";

// The types of problems that are none: what was asked for comes by itself (retry_after says when), or the CA is asked at its
// pace and others are before us. Nothing has failed and nothing was sent or lost.
inline constexpr const char* issuer_not_yet = "urn:evercert:error:notYet";
inline constexpr const char* issuer_turn = "urn:evercert:error:turn";
bool is_waiting(const Error& error);

struct IssuedCertificate {
  Bytes leaf;                // DER
  std::vector<Bytes> chain;  // DER, leaf's issuer first, without the root
  // JSON text private to the issuer, kept for its next order of the same certificate: an order that may bring more. Or empty.
  std::string subscription = {};
};

class IssuerAccount;  // commercial_account.h

// What became of a wish at the CA: it is true, or the CA was asked and somebody or something there still has to do it.
enum class Fulfilment { done, requested };

struct Revocation {
  int reason = 0;                // RFC 5280 section 5.3.1 (revocation_reasons.h)
  std::string comment = {};      // for the records of CAs that keep one (Issuer::takes_comments()); empty: ours
  std::string certificate = {};  // ours, for what is said once it is true
};

class Issuer {
 public:
  virtual ~Issuer() = default;
  [[nodiscard]] virtual const IssuerSpec& spec() const = 0;
  // Whether it has a place for a word of ours beside a revocation's reason.
  [[nodiscard]] virtual bool takes_comments() const { return false; }
  // What the CA shows of our account beside our orders; null where it shows nothing (ACME). Lives as long as the issuer.
  [[nodiscard]] virtual IssuerAccount* account() { return nullptr; }

  // Logs in at the CA and says as whom; places nothing.
  virtual Result<std::string> test_login() = 0;
  // Places an order. Never called again for the same reference without find() first, unless the error says that the CA was
  // not reached at all: then nothing was sent.
  virtual Result<IssuerOrder> place(const Wanted& wanted) = 0;
  // Looks for an order that an interrupted place() may have left at the CA; `known` are CA references that are not it.
  virtual Result<std::optional<IssuerOrder>> find(const Wanted& wanted, const std::vector<std::string>& known) = 0;
  // The open challenges of a pending order (those of authorizations that are valid already are left out). Where the CA is not
  // ready to tell them, or people must act first, the order becomes `processing` or `waiting_for_people`.
  virtual Result<std::vector<Challenge>> challenges(IssuerOrder& order) = 0;
  // Tells the CA that one challenge can be validated.
  virtual Result<Done> respond(const IssuerOrder& order, const Challenge& challenge) = 0;
  // Asks for the order's present state. An invalid order carries its problem (challenge_failed with the names, or
  // issuer_refused). A reference the CA does not know: issuer_refused, with the problem
  // order_forgotten.
  virtual Result<IssuerOrder> refresh(const IssuerOrder& order) = 0;
  // Hands in the request of a ready order.
  virtual Result<IssuerOrder> finalize(const IssuerOrder& order, const Wanted& wanted) = 0;
  // Downloads the certificate of a valid order; picks the preferred chain.
  virtual Result<IssuedCertificate> collect(const IssuerOrder& order) = 0;
  // Gives up an order that will not be finished: its open authorizations are deactivated where the CA allows it.
  virtual Result<Done> abandon(const IssuerOrder& order) = 0;
  // `certificate_key` (PKCS#8 DER) signs when given, else the account.
  // An error that is none of the CA's words means that it is not known; what the CA shows is in its sentence.
  virtual Result<Fulfilment> revoke(BytesView leaf, const Revocation& why, const Secret* certificate_key) = 0;
};

}  // namespace evercert
