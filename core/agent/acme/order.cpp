#include "agent/acme/order.h"

#include <algorithm>

#include "agent/acme/problem.h"
#include "serving/base/json.h"
#include "serving/base/rfc3339.h"

namespace evercert {
namespace {

constexpr std::size_t list_limit = 1000;

Error garbled(Error error) {
  error.kind = ErrorKind::connection;
  return error;
}

std::optional<IssuerOrderStatus> status_of(std::string_view word) {
  for (const auto status : {IssuerOrderStatus::pending, IssuerOrderStatus::ready, IssuerOrderStatus::processing,
                            IssuerOrderStatus::valid, IssuerOrderStatus::invalid}) {
    if (word == to_string(status)) return status;
  }
  return std::nullopt;
}

Result<Identifier> parse_identifier(const Json& json, const std::string& what) {
  auto type = json_text(json, "type", what);
  if (!type) return type.error();
  auto value = json_text(json, "value", what);
  if (!value) return value.error();
  if (*type != "dns" && *type != "ip") return Error{ErrorKind::connection, what + " has an identifier of an unknown type"};
  return Identifier{*type == "dns" ? IdentifierKind::dns : IdentifierKind::ip, std::move(*value)};
}

std::optional<Problem> problem_in(const Json& json) {
  const auto found = json.find("error");
  if (found == json.end() || !found->is_object()) return std::nullopt;
  return read_problem(dump_json(*found));
}

// What cannot be read bounds nothing.
std::optional<std::chrono::system_clock::time_point> expires_in(const Json& json) {
  const auto found = json.find("expires");
  return found != json.end() && found->is_string() ? time_in(found->get<std::string>()) : std::nullopt;
}

Result<OrderResource> order_from(const Json& json, const std::string& url) {
  const std::string what = "the order " + url;
  if (!json.is_object()) return Error{ErrorKind::connection, what + " is not a JSON object"};
  OrderResource order;
  order.url = url;
  auto status = json_text(json, "status", what);
  if (!status) return garbled(status.error());
  const auto known = status_of(*status);
  if (!known) return Error{ErrorKind::connection, what + " is in a state that RFC 8555 does not know"};
  order.status = *known;
  const auto identifiers = json.find("identifiers");
  if (identifiers != json.end() && identifiers->is_array()) {
    if (identifiers->size() > list_limit) return Error{ErrorKind::connection, what + " has too many identifiers"};
    for (const auto& entry : *identifiers) {
      auto identifier = parse_identifier(entry, what);
      if (!identifier) return garbled(identifier.error());
      order.identifiers.push_back(std::move(*identifier));
    }
  }
  std::sort(order.identifiers.begin(), order.identifiers.end());
  auto authorizations = json_texts(json, "authorizations", what);
  if (!authorizations) return garbled(authorizations.error());
  order.authorizations = std::move(*authorizations);
  if (order.authorizations.size() > list_limit) return Error{ErrorKind::connection, what + " has too many authorizations"};
  auto finalize = json_optional_text(json, "finalize", what);
  if (!finalize) return garbled(finalize.error());
  order.finalize = finalize->value_or("");
  auto certificate = json_optional_text(json, "certificate", what);
  if (!certificate) return garbled(certificate.error());
  order.certificate = certificate->value_or("");
  order.expires = expires_in(json);
  order.problem = problem_in(json);
  return order;
}

}  // namespace

std::string OrderResource::to_detail() const {
  Json json = {{"authorizations", authorizations}, {"finalize", finalize}, {"request_key", request_key}};
  if (!certificate.empty()) json["certificate"] = certificate;
  return dump_json(json);
}

Result<OrderResource> parse_order(std::string_view body, const std::string& url) {
  auto json = parse_json(body, "the order " + url);
  if (!json) return garbled(json.error());
  return order_from(*json, url);
}

Result<OrderResource> order_of(const IssuerOrder& order) {
  const std::string what = "the record of the order " + order.reference;
  auto json = parse_json(order.detail, what);
  if (!json || !json->is_object()) return Error{ErrorKind::internal, what + " is damaged: it is not a JSON object"};
  (*json)["status"] = to_string(order.status);
  auto resource = order_from(*json, order.reference);
  auto key = json_optional_text(*json, "request_key", what);
  if (!resource || !key) return Error{ErrorKind::internal, (resource ? key.error() : resource.error()).message};
  resource->request_key = key->value_or("");
  return resource;
}

std::string name_of(const AuthorizationResource& authorization) {
  return (authorization.wildcard ? "*." : "") + authorization.identifier.value;
}

Result<AuthorizationResource> parse_authorization(std::string_view body, const std::string& url) {
  const std::string what = "the authorization " + url;
  auto json = parse_json(body, what);
  if (!json) return garbled(json.error());
  if (!json->is_object()) return Error{ErrorKind::connection, what + " is not a JSON object"};
  AuthorizationResource authorization;
  auto status = json_text(*json, "status", what);
  if (!status) return garbled(status.error());
  authorization.status = std::move(*status);
  auto identifier = parse_identifier(json->value("identifier", Json::object()), what);
  if (!identifier) return garbled(identifier.error());
  authorization.identifier = std::move(*identifier);
  authorization.expires = expires_in(*json);
  const auto wildcard = json->find("wildcard");
  authorization.wildcard = wildcard != json->end() && wildcard->is_boolean() && wildcard->get<bool>();
  const auto challenges = json->find("challenges");
  if (challenges == json->end() || !challenges->is_array()) return authorization;
  for (const auto& entry : *challenges) {
    if (!entry.is_object() || authorization.challenges.size() == list_limit) continue;
    ChallengeResource challenge;
    auto type = json_text(entry, "type", what);
    auto place = json_text(entry, "url", what);
    // Kinds of challenges that are still to be invented may look like anything; they are not ours.
    if (!type || !place) continue;
    challenge.type = std::move(*type);
    challenge.url = std::move(*place);
    auto token = json_optional_text(entry, "token", what);
    if (token) challenge.token = token->value_or("");
    auto state = json_optional_text(entry, "status", what);
    if (state) challenge.status = state->value_or("");
    challenge.problem = problem_in(entry);
    authorization.challenges.push_back(std::move(challenge));
  }
  return authorization;
}

Result<std::vector<std::string>> parse_order_list(std::string_view body) {
  const std::string what = "the account's list of orders";
  auto json = parse_json(body, what);
  if (!json) return garbled(json.error());
  auto orders = json_texts(*json, "orders", what);
  if (!orders) return garbled(orders.error());
  return orders;
}

std::vector<std::string> links(const HttpResponse& response, std::string_view relation) {
  std::vector<std::string> found;
  for (const std::string& value : response.headers("Link")) {
    std::size_t position = 0;
    while ((position = value.find('<', position)) != std::string::npos) {
      const auto end = value.find('>', position);
      if (end == std::string::npos) break;
      const std::string target = value.substr(position + 1, end - position - 1);
      const auto next = value.find('<', end);
      const std::string parameters = value.substr(end + 1, next == std::string::npos ? next : next - end - 1);
      const std::string quoted = "rel=\"" + std::string(relation) + "\"";
      const std::string bare = "rel=" + std::string(relation);
      const auto at = parameters.find(bare);
      const bool bare_match =
          at != std::string::npos && (at + bare.size() == parameters.size() ||
                                      std::string_view(";, ").find(parameters[at + bare.size()]) != std::string_view::npos);
      if ((parameters.find(quoted) != std::string::npos || bare_match) &&
          (target.starts_with("https://") || target.starts_with("http://"))) {
        found.push_back(target);
      }
      position = end;
    }
  }
  return found;
}

const char* acme_kind(IdentifierKind kind) {
  return kind == IdentifierKind::dns ? "dns" : "ip";
}

}  // namespace evercert
