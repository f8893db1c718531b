// Our account at an ACME server (RFC 8555 section 7.3): found again or registered at the first request, healed when the server
// has forgotten it. All requests of an issuer go through it. Thread-safe; while one thread registers the others wait,
// and take its error when it fails.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "agent/acme/server.h"
#include "agent/acme/shared_attempt.h"
#include "agent/issuer/account_records.h"
#include "agent/observe/event.h"
#include "evercert/plan.h"

namespace evercert {

class Account {
 public:
  Account(const IssuerSpec& spec, AcmeServer& server, AccountRecords& records, Events& events);

  // A successful answer, or why there was none.
  Result<HttpResponse> post(const AcmeServer::Request& request);
  Result<HttpResponse> post(std::string Directory::*address, const AcmeServer::Request& request);

  Result<std::string> url();
  // Needs the account's key only, no registration.
  Result<std::string> key_authorization(std::string_view token);

  // The name of the record of the account that this configuration asks for.
  static std::string record_id(const IssuerSpec& spec);

 private:
  struct Registered {
    std::shared_ptr<const AccountKey> key;
    std::string url;
  };
  enum class Find { first, not_at_all };

  Result<Registered> registered();
  Result<std::optional<Registered>> heal(const Registered& lost);
  Result<Registered> register_key(Find find);
  Result<std::string> payload_for(const Directory& directory) const;
  Result<std::string> ask_for_account(const std::string& payload, bool& existed);
  void tell_contacts();
  Result<Done> load_key();
  Result<Done> take_record(AccountRecord record);
  template <typename Send>
  Result<HttpResponse> with_healing(const AcmeServer::Request& request, Send send);

  const IssuerSpec& spec_;
  AcmeServer& server_;
  AccountRecords& records_;
  Events& events_;
  const std::string id_;

  SharedAttempt registering_;  // guards what follows
  std::shared_ptr<const AccountKey> key_;
  AccountRecord record_;
  bool key_is_new_ = false;
  bool contacts_told_ = false;
  std::optional<std::chrono::system_clock::time_point> healed_;
};

}  // namespace evercert
