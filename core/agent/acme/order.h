// The resources of an order at an ACME server (RFC 8555 sections 7.1.3 to 7.1.5), read from what the server sends. Parsers
// only; no request is made here.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/issuer/issuer.h"
#include "agent/net/http_client.h"
#include "evercert/plan.h"
#include "evercert/result.h"

namespace evercert {

struct OrderResource {
  std::string url;
  IssuerOrderStatus status = IssuerOrderStatus::pending;
  std::vector<Identifier> identifiers;  // sorted
  std::vector<std::string> authorizations;
  std::string finalize;
  std::string certificate;                                       // once valid
  std::optional<std::chrono::system_clock::time_point> expires;  // by the server's clock; not in the detail
  std::optional<Problem> problem;
  std::string request_key;  // ours: digest of the request's public key, to know our certificate again

  // What is kept as IssuerOrder::detail.
  [[nodiscard]] std::string to_detail() const;
};

// Errors: connection, since a garbled answer is worth asking again.
Result<OrderResource> parse_order(std::string_view body, const std::string& url);
// Errors: internal, for a detail that no to_detail() wrote.
Result<OrderResource> order_of(const IssuerOrder& order);

struct ChallengeResource {
  std::string type;  // "http-01"
  std::string url;
  std::string token;
  std::string status;
  std::optional<Problem> problem;
};
struct AuthorizationResource {
  Identifier identifier;
  std::string status;
  bool wildcard = false;
  std::optional<std::chrono::system_clock::time_point> expires;  // likewise
  std::vector<ChallengeResource> challenges;
};
// "*.example.org" for a wildcard: RFC 8555 section 7.1.4 leaves the asterisk away.
std::string name_of(const AuthorizationResource& authorization);
Result<AuthorizationResource> parse_authorization(std::string_view body, const std::string& url);

// RFC 8555 section 7.1.2.1.
Result<std::vector<std::string>> parse_order_list(std::string_view body);

// The targets of all Link headers with that relation (RFC 8288), absolute addresses only.
std::vector<std::string> links(const HttpResponse& response, std::string_view relation);

const char* acme_kind(IdentifierKind kind);  // "dns", "ip"

}  // namespace evercert
