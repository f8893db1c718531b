// RestApi: what the classes of all commercial CAs have in common beneath CommercialApi: who we are, one way to ask, and
// refusals sorted by what has to be done. A CA's class says how it logs in and how its refusals read. Rule: an order that is
// paid for is never given up because of a refusal (paid_for() and its kin).
#pragma once

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/commercial/account_gate.h"
#include "agent/commercial/commercial_api.h"
#include "agent/commercial/rest.h"
#include "agent/issuer/revocation_reasons.h"

namespace evercert {

// What a CA said when it refused.
struct Refusal {
  std::string code;  // its own; empty when it has none. The type of the error's problem
  std::string said;
};

// Why it refused, by what has to be done about it.
enum class RefusalCause { other, login, settings, money, passing };

// The options of an issuer that are to blame, for sentences.
struct RefusalRemedies {
  const char* login;     // "check account and secret"
  const char* settings;  // "correct the issuer's options product, term"
};

class RestApi : public CommercialApi {
 public:
  // How fast this account may be asked, as far as the CA says it.
  [[nodiscard]] virtual AccountPace pace() const { return {}; }
  // All requests go through this gate from now on. `stop` ends waiting there.
  void join(std::shared_ptr<AccountGate> gate, std::stop_token stop);

  // One request with what logs us in; any answer. What only reads is asked for again, with fresh numbers, when it was sent
  // over a connection that the CA had closed.
  virtual Result<RestAnswer> ask(const RestRequest& request);
  // The JSON of an answer that says that it was done; else the refusal as an error.
  Result<Json> get(const RestRequest& request);
  // The same for what changes something.
  Result<Done> tell(RestRequest request);
  [[nodiscard]] virtual Error failed(const RestAnswer& answer, const std::string& what);

 protected:
  RestApi(IssuerSpec spec, std::unique_ptr<HttpClient> http, const Clock& clock, RefusalRemedies remedies);

  // The request as it goes out: with what logs us in, and with every number that is used once.
  virtual Result<RestRequest> signed_request(RestRequest request) = 0;
  [[nodiscard]] virtual bool succeeded(const RestAnswer& answer) const { return answer.good(); }
  [[nodiscard]] virtual Refusal refusal_in(const RestAnswer& answer) const = 0;
  // Called where neither the HTTP status nor words about money tell.
  [[nodiscard]] virtual RefusalCause cause_of(const Refusal& refusal) const;
  // The CA compares a time in each request with its own, and this refusal may mean that.
  [[nodiscard]] virtual bool may_be_the_clock(const Refusal&) const { return false; }
  // The CA asks for patience; who else asks it waits, too.
  void slow_down(Error& error, bool orders_only);
  [[nodiscard]] const RefusalRemedies& remedies() const { return remedies_; }

  // An answer to a request that places something, but names no number for it.
  [[nodiscard]] Error nameless(const std::string& what) const;
  // The CA's word for a reason to revoke. Errors: configuration, naming those that the CA takes.
  [[nodiscard]] Result<std::string> reason_word(int reason, const char* RevocationReason::*column) const;

  const IssuerSpec spec_;
  RestClient rest_;

 private:
  const RefusalRemedies remedies_;
  std::shared_ptr<AccountGate> gate_;  // null: asked as fast as we like
  std::stop_token stop_;
};

// The code of the CA that an error carries; empty: none.
std::string code_of(const Error& error);

// For what is said of orders that exist. The CA does not know the order.
Error forgotten(Error error);
// A refusal is a matter for people.
Error paid_for(Error error);
// A refusal only means that it is too early: it is waited for, as is_waiting() says.
Error too_early(Error error, std::chrono::seconds pause);

// Where DigiCert looks, whoever sold the certificate: one name for every order, and the file is to contain the value.
inline constexpr const char* digicert_validation_file = "fileauth.txt";

bool is_among(const std::vector<std::string>& list, const std::string& word);

}  // namespace evercert
