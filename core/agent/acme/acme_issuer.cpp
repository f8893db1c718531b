#include "agent/acme/acme_issuer.h"

#include <algorithm>
#include <atomic>
#include <set>

#include "agent/acme/account.h"
#include "agent/acme/invalid_order.h"
#include "agent/acme/order.h"
#include "agent/acme/placed_orders.h"
#include "agent/acme/problem.h"
#include "agent/issuer/caa.h"
#include "agent/issuer/chain.h"
#include "evercert/text.h"
#include "serving/base/bounds.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

// What find() looks at in an account with a long history.
constexpr std::size_t candidate_limit = 50;
constexpr std::size_t alternate_limit = 8;

std::string names_of(const std::vector<Identifier>& identifiers) {
  if (identifiers.empty()) return "no name";
  std::string text = identifiers.front().value;
  if (identifiers.size() > 1) text += " and " + std::to_string(identifiers.size() - 1) + " more";
  return text;
}

std::vector<Identifier> sorted(std::vector<Identifier> identifiers) {
  std::sort(identifiers.begin(), identifiers.end());
  return identifiers;
}

// A moment of the server's clock by ours: it is as far away, whatever either clock says.
std::optional<std::chrono::system_clock::time_point> by_our_clock(std::optional<std::chrono::system_clock::time_point> moment,
                                                                  const HttpResponse& response,
                                                                  std::chrono::system_clock::time_point now) {
  const auto date = date_of_answer(response);
  if (!moment || !date) return moment;
  const auto seconds = [](auto time) { return std::chrono::system_clock::to_time_t(time); };
  return moment_of(seconds(*moment) - seconds(moment_of(*date)) + seconds(now));
}

class AcmeIssuer : public Issuer {
 public:
  AcmeIssuer(IssuerSpec spec, std::unique_ptr<HttpClient> http, const IssuerSurroundings& surroundings)
      : spec_(std::move(spec)),
        http_(std::move(http)),
        clock_(surroundings.clock),
        events_(surroundings.events),
        stop_(surroundings.stop),
        server_(spec_.name, spec_.uri, *http_, surroundings.clock, surroundings.stop),
        account_(spec_, server_, surroundings.accounts, surroundings.events) {}

  [[nodiscard]] const IssuerSpec& spec() const override { return spec_; }
  Result<std::string> test_login() override;
  Result<IssuerOrder> place(const Wanted& wanted) override;
  Result<std::optional<IssuerOrder>> find(const Wanted& wanted, const std::vector<std::string>& known) override;
  Result<std::vector<Challenge>> challenges(IssuerOrder& order) override;
  Result<Done> respond(const IssuerOrder& order, const Challenge& challenge) override;
  Result<IssuerOrder> refresh(const IssuerOrder& order) override;
  Result<IssuerOrder> finalize(const IssuerOrder& order, const Wanted& wanted) override;
  Result<IssuedCertificate> collect(const IssuerOrder& order) override;
  Result<Done> abandon(const IssuerOrder& order) override;
  Result<Fulfilment> revoke(BytesView leaf, const Revocation& why, const Secret* certificate_key) override;

 private:
  Result<HttpResponse> read(const std::string& url, const std::string& what) { return account_.post({url, "", what, ""}); }
  Result<IssuerOrder> understand(const HttpResponse& response, const std::string& url, const std::string& request_key);
  Result<AuthorizationResource> authorization(const std::string& url);
  Result<HttpResponse> read_order(const std::string& url);
  Error unless_forgotten(const IssuerOrder& order, const Error& error);
  Result<std::string> profile_to_send(const Wanted& wanted);
  void warn(const std::string& event, const std::string& certificate, const std::string& sentence);
  Result<Challenge> challenge_of(const AuthorizationResource& authorization);
  std::vector<AuthorizationResource> authorizations_of(const OrderResource& order);
  Result<bool> is_ours(const OrderResource& order);
  Result<Chain> download(const std::string& url, const std::string& request_key, HttpResponse* answer);

  const IssuerSpec spec_;
  const std::unique_ptr<HttpClient> http_;
  const Clock& clock_;
  Events& events_;
  const std::stop_token stop_;
  AcmeServer server_;
  Account account_;
};

Result<IssuerOrder> AcmeIssuer::understand(const HttpResponse& response, const std::string& url,
                                           const std::string& request_key) {
  auto order = parse_order(response.body, url);
  if (!order) return order.error().with_prefix(server_.who());
  order->request_key = request_key;
  IssuerOrder understood{url, order->status, order->to_detail(), retry_after_of(response, clock_.now()), std::nullopt};
  if (order->status == IssuerOrderStatus::invalid) {
    understood.problem = why_invalid(server_.who(), *order, authorizations_of(*order), clock_.now());
  }
  understood.expires = by_our_clock(order->expires, response, clock_.now());
  return understood;
}

void AcmeIssuer::warn(const std::string& event, const std::string& certificate, const std::string& sentence) {
  events_.tell({event, LogLevel::warn, {}, certificate, spec_.name, sentence, {}});
}

// Empty: none is to be sent.
Result<std::string> AcmeIssuer::profile_to_send(const Wanted& wanted) {
  if (!spec_.profile) return std::string();
  auto directory = server_.directory();
  if (!directory) return directory.error();
  if ((*directory)->profiles.contains(spec_.profile->name)) return spec_.profile->name;
  std::string offered;
  for (const auto& [name, description] : (*directory)->profiles) offered += (offered.empty() ? "" : ", ") + name;
  const std::string sentence = server_.who() + " does not offer the profile \"" + spec_.profile->name + "\"" +
                               (offered.empty() ? "; it offers none" : "; it offers " + printable(offered, longest_quote));
  if (spec_.profile->required) return Error{ErrorKind::issuer_refused, sentence + "; correct profile, or do not require it"};
  warn("profile_not_offered", wanted.certificate, sentence + "; ordered without one");
  return std::string();
}

Result<IssuerOrder> AcmeIssuer::place(const Wanted& wanted) {
  auto directory = server_.directory();
  if (!directory) return directory.error();
  const auto& identities = spec_.caa_identities.empty() ? (*directory)->caa_identities : spec_.caa_identities;
  if (auto permitted = check_caa(spec_, identities, wanted.identifiers, stop_); !permitted) return permitted.error();
  auto request_key = request_key_digest(wanted.request);
  if (!request_key) return request_key.error();
  auto profile = profile_to_send(wanted);
  if (!profile) return profile.error();
  Json payload = Json::object();
  for (const auto& identifier : wanted.identifiers) {
    payload["identifiers"].push_back({{"type", acme_kind(identifier.kind)}, {"value", identifier.value}});
  }
  if (!profile->empty()) payload["profile"] = *profile;
  const AcmeServer::Request request{"", dump_json(payload), "accept an order for " + names_of(wanted.identifiers), "", true};
  auto response = account_.post(&Directory::new_order, request);
  if (!response && !profile->empty() && !spec_.profile->required && is_problem(response.error(), "invalidProfile")) {
    warn("profile_not_offered", wanted.certificate, response.error().message + "; ordered without a profile");
    payload.erase("profile");
    response = account_.post(&Directory::new_order, {"", dump_json(payload), request.what, "", true});
  }
  if (!response) return response.error();
  const std::string url = response->header("Location");
  if (url.empty()) return Error{ErrorKind::connection, server_.who() + " took an order without saying its address"};
  if (auto usable = server_.check(url, "look at the order"); !usable) return usable.error();
  return understand(*response, url, *request_key);
}

Result<AuthorizationResource> AcmeIssuer::authorization(const std::string& url) {
  auto response = read(url, "show the authorization " + url);
  if (!response) return response.error();
  auto parsed = parse_authorization(response->body, url);
  if (!parsed) return parsed.error().with_prefix(server_.who());
  parsed->expires = by_our_clock(parsed->expires, *response, clock_.now());
  return parsed;
}

// Those that can be read: they still tell more than nothing.
std::vector<AuthorizationResource> AcmeIssuer::authorizations_of(const OrderResource& order) {
  std::vector<AuthorizationResource> found;
  for (const auto& url : order.authorizations) {
    if (auto one = authorization(url)) found.push_back(std::move(*one));
  }
  return found;
}

// A CA that was set up anew knows neither order nor account; what it answers then differs from CA to CA.
Result<HttpResponse> AcmeIssuer::read_order(const std::string& url) {
  auto response = read(url, "show the order " + url);
  if (response || response.error().kind != ErrorKind::issuer_refused) return response;
  Error error = response.error();
  const bool forgotten = !error.problem || is_problem(error, "malformed") || is_problem(error, "accountDoesNotExist") ||
                         is_problem(error, "unauthorized");
  if (!forgotten) return error;
  Problem problem = error.problem ? *error.problem : Problem();
  problem.type = order_forgotten;
  error.problem = std::make_shared<const Problem>(std::move(problem));
  return error;
}

// Something that belongs to the order was refused: when the order itself is unknown, that is why.
Error AcmeIssuer::unless_forgotten(const IssuerOrder& order, const Error& error) {
  if (error.kind != ErrorKind::issuer_refused) return error;
  auto response = read_order(order.reference);
  return !response && is_forgotten(response.error()) ? response.error() : error;
}

Result<std::vector<Challenge>> AcmeIssuer::challenges(IssuerOrder& order) {
  auto resource = order_of(order);
  if (!resource) return resource.error();
  std::vector<Challenge> open;
  std::optional<std::chrono::system_clock::time_point> first;
  for (const auto& url : resource->authorizations) {
    auto found = authorization(url);
    if (!found) return unless_forgotten(order, found.error());
    if (found->status != "pending") continue;
    if (found->expires) first = std::min(first.value_or(*found->expires), *found->expires);
    auto challenge = challenge_of(*found);
    if (!challenge) return challenge.error();
    open.push_back(std::move(*challenge));
  }
  // No order is pending for longer than what it waits for.
  if (!order.expires) order.expires = first;
  return open;
}

// The first of the kind that is configured.
Result<Challenge> AcmeIssuer::challenge_of(const AuthorizationResource& authorization) {
  const std::string kind = to_string(spec_.challenge);
  std::string offered;
  for (const auto& challenge : authorization.challenges) {
    if (challenge.type == kind) {
      auto answer = account_.key_authorization(challenge.token);
      if (!answer) return answer.error();
      return Challenge{spec_.challenge, authorization.identifier, challenge.token, std::move(*answer), challenge.url};
    }
    offered += (offered.empty() ? "" : ", ") + challenge.type;
  }
  return Error{ErrorKind::issuer_refused, server_.who() + " does not take " + kind + " for " + name_of(authorization) +
                                              ", only " + (offered.empty() ? "nothing" : printable(offered, longest_quote)) +
                                              "; choose another challenge"};
}

Result<Done> AcmeIssuer::respond(const IssuerOrder&, const Challenge& challenge) {
  auto response = account_.post({challenge.location, "{}", "validate " + challenge.identifier.value, ""});
  if (!response) return response.error();
  // Only a challenge for an answer says that the CA took it: one that was never told would leave the order pending for ever.
  const std::string what = "the answer to the challenge for " + challenge.identifier.value;
  auto json = parse_json(response->body, what);
  auto status = json ? json_text(*json, "status", what) : Result<std::string>(json.error());
  if (!status) return Error{ErrorKind::connection, server_.who() + ": " + status.error().message};
  return Done{};
}

Result<IssuerOrder> AcmeIssuer::refresh(const IssuerOrder& order) {
  auto resource = order_of(order);
  if (!resource) return resource.error();
  auto response = read_order(order.reference);
  if (!response) return response.error();
  auto understood = understand(*response, order.reference, resource->request_key);
  const bool pending = understood && understood->status == IssuerOrderStatus::pending;
  if (pending && !understood->expires) understood->expires = order.expires;
  return understood;
}

Result<IssuerOrder> AcmeIssuer::finalize(const IssuerOrder& order, const Wanted& wanted) {
  auto resource = order_of(order);
  if (!resource) return resource.error();
  auto request_key = request_key_digest(wanted.request);
  if (!request_key) return request_key.error();
  const std::string payload = dump_json({{"csr", to_base64url(wanted.request)}});
  auto response = account_.post({resource->finalize, payload, "finalize the order for " + names_of(wanted.identifiers), ""});
  // Not ready can mean "not yet" as well as "done already" (two of us, or an answer that was lost): the order tells.
  if (!response && is_problem(response.error(), "orderNotReady")) {
    response = read_order(order.reference);
  }
  if (!response) return unless_forgotten(order, response.error());
  return understand(*response, order.reference, *request_key);
}

Result<Chain> AcmeIssuer::download(const std::string& url, const std::string& request_key, HttpResponse* answer) {
  auto response = account_.post({url, "", "hand out the certificate", "application/pem-certificate-chain"});
  if (!response) return response.error();
  auto chain = read_chain(response->body, request_key);
  if (!chain) return chain.error().with_prefix(server_.who());
  if (answer != nullptr) *answer = std::move(*response);
  return chain;
}

Result<IssuedCertificate> AcmeIssuer::collect(const IssuerOrder& order) {
  auto resource = order_of(order);
  if (!resource) return resource.error();
  if (resource->certificate.empty()) {
    return Error{ErrorKind::connection, server_.who() + " calls the order valid without saying where its certificate is"};
  }
  HttpResponse answer;
  auto chain = download(resource->certificate, resource->request_key, &answer);
  if (!chain) return unless_forgotten(order, chain.error());
  const auto preferred = [this](const Chain& candidate) {
    const auto& names = candidate.issuer_names;
    return std::find(names.begin(), names.end(), spec_.preferred_chain) != names.end();
  };
  if (spec_.preferred_chain.empty() || preferred(*chain)) return std::move(chain->certificates);
  std::size_t looked_at = 0;
  for (const auto& alternate : links(answer, "alternate")) {
    if (looked_at++ == alternate_limit) break;
    auto other = download(alternate, resource->request_key, nullptr);
    if (other && preferred(*other)) return std::move(other->certificates);
  }
  warn("chain_not_offered", "",
       server_.who() + " has no chain with an issuer called \"" + spec_.preferred_chain + "\"; its default chain is used");
  return std::move(chain->certificates);
}

// A valid order with our names may be that of an earlier renewal: only the key tells.
Result<bool> AcmeIssuer::is_ours(const OrderResource& order) {
  if (order.status != IssuerOrderStatus::valid) return order.status != IssuerOrderStatus::invalid;
  auto chain = download(order.certificate, order.request_key, nullptr);
  if (chain) return true;
  if (chain.error().kind == ErrorKind::issuer_refused) return false;
  return chain.error();
}

Result<std::string> AcmeIssuer::test_login() {
  if (auto known = order_list_of(account_); !known) return known.error();
  auto url = account_.url();
  if (!url) return url.error();
  return "the account " + *url;
}

Result<std::optional<IssuerOrder>> AcmeIssuer::find(const Wanted& wanted, const std::vector<std::string>& known) {
  auto request_key = request_key_digest(wanted.request);
  if (!request_key) return request_key.error();
  auto orders = placed_orders(account_, server_.who());
  if (!orders) return orders.error();
  const std::vector<Identifier> names = sorted(wanted.identifiers);
  const std::set<std::string> not_it(known.begin(), known.end());
  std::size_t looked_at = 0;
  // Servers append: what an interrupted call left behind is near the end.
  for (auto url = orders->rbegin(); url != orders->rend() && looked_at < candidate_limit; ++url) {
    if (not_it.contains(*url)) continue;
    ++looked_at;
    auto response = read(*url, "show the order " + *url);
    if (!response) {
      if (response.error().kind == ErrorKind::issuer_refused) continue;
      return response.error();
    }
    auto order = parse_order(response->body, *url);
    // A CA may have added names of its own.
    if (!order || !std::includes(order->identifiers.begin(), order->identifiers.end(), names.begin(), names.end())) continue;
    order->request_key = *request_key;
    auto ours = is_ours(*order);
    if (!ours) return ours.error();
    if (*ours) return std::optional<IssuerOrder>(IssuerOrder{*url, order->status, order->to_detail(), {}, {}});
  }
  return std::optional<IssuerOrder>();
}

Result<Done> AcmeIssuer::abandon(const IssuerOrder& order) {
  auto resource = order_of(order);
  if (!resource) return resource.error();
  std::optional<Error> failure;
  for (const auto& url : resource->authorizations) {
    auto found = authorization(url);
    // What the CA does not know any more needs no giving up.
    if (!found && found.error().kind == ErrorKind::issuer_refused) continue;
    if (!found) {
      failure = found.error();
      continue;
    }
    // A valid authorization stays: the next order may use it again.
    if (found->status != "pending") continue;
    auto response =
        account_.post({url, R"({"status":"deactivated"})", "deactivate the authorization for " + found->identifier.value, ""});
    if (!response && response.error().kind != ErrorKind::issuer_refused) failure = response.error();
  }
  if (failure) return *failure;
  return Done{};
}

Result<Fulfilment> AcmeIssuer::revoke(BytesView leaf, const Revocation& why, const Secret* certificate_key) {
  const AcmeServer::Request request{"", dump_json({{"certificate", to_base64url(leaf)}, {"reason", why.reason}}),
                                    "revoke the certificate", ""};
  auto response = [&]() -> Result<HttpResponse> {
    if (certificate_key == nullptr) return account_.post(&Directory::revoke_cert, request);
    const std::uint8_t* position = certificate_key->view().data();
    KeyHandle handle(d2i_AutoPrivateKey(nullptr, &position, static_cast<long>(certificate_key->view().size())));
    if (!handle) return openssl_error(ErrorKind::key_provider, "the certificate's key cannot be read");
    auto key = AccountKey::make(std::move(handle));
    if (!key) return key.error();
    auto answer = server_.send(*key, "", &Directory::revoke_cert, request);
    if (answer && answer->status >= 400) return server_.refused(*answer, request.what);
    return answer;
  }();
  if (!response && !is_problem(response.error(), "alreadyRevoked")) return response.error();
  return Fulfilment::done;
}

}  // namespace

std::unique_ptr<Issuer> make_acme_issuer(const IssuerSpec& spec, std::unique_ptr<HttpClient> http,
                                         const IssuerSurroundings& surroundings) {
  return std::make_unique<AcmeIssuer>(spec, std::move(http), surroundings);
}

}  // namespace evercert
