#include "agent/lead/issuer_accounts.h"

#include "serving/base/encoding.h"

namespace evercert {
namespace {

std::string digest(const Secret& secret) {
  return to_hex(sha256(secret.view()));
}

std::string text_of(const DnsSettings& dns) {
  std::string text = dns.program + "\n" + std::to_string(dns.propagation.count()) + "\n" + std::to_string(dns.port) + "\n";
  for (const auto& server : dns.resolvers) text += server.text() + "\n";
  for (const auto& update : dns.updates) {
    text += update.zone + "\n" + update.server.text() + "\n" + update.key.name + "\n" + update.key.algorithm + "\n" +
            digest(update.key.secret) + "\n";
  }
  return text;
}

std::string text_of(const Purchase& purchase) {
  std::string text = digest(purchase.secret);
  for (const auto* part : {&purchase.api,
                           &purchase.account,
                           &purchase.customer,
                           &purchase.token_uri,
                           &purchase.product,
                           &purchase.variant,
                           &purchase.group,
                           &purchase.organization,
                           &purchase.requester.name,
                           &purchase.requester.email,
                           &purchase.requester.phone,
                           &purchase.requester.title,
                           &purchase.technical_contact.name,
                           &purchase.technical_contact.email,
                           &purchase.technical_contact.phone,
                           &purchase.technical_contact.title,
                           &purchase.signer.name,
                           &purchase.signer.place,
                           &purchase.signer.address,
                           &purchase.comments,
                           &purchase.email,
                           &purchase.low_balance,
                           &purchase.validation_name,
                           &purchase.validation_file}) {
    text += "\n" + *part;
  }
  for (const auto& tag : purchase.tags) text += "\n" + tag;
  for (const auto& address : purchase.recipients) text += "\n" + address;
  for (const auto& [name, value] : purchase.custom_fields) text += "\n" + name + "\n" + value;
  return text + "\n" + std::to_string(purchase.term) + (purchase.www ? "w" : "-") + "\n";
}

// Two specifications with the same text are one account at one CA, reached the same way.
std::string text_of(const IssuerSpec& spec) {
  std::string text = spec.name + "\n" + spec.type + "\n" + spec.uri + "\n" + spec.account_key.text() + "\n" +
                     digest(spec.account_key_pem) + "\n" + to_string(spec.challenge) + "\n" + spec.preferred_chain + "\n" +
                     (spec.profile ? spec.profile->name + (spec.profile->required ? "!" : "") : "") + "\n" +
                     digest(spec.trusted_certificates_pem) + "\n" + spec.proxy.uri + "\n" + spec.proxy.user + "\n" +
                     digest(spec.proxy.password) + "\n" + std::to_string(spec.max_orders) + "\n" + (spec.orders ? "o" : "-") +
                     (spec.common_name_in_csr ? "c" : "-") + (spec.verify ? "v" : "-") + (spec.terms_accepted ? "t" : "-") +
                     "\n";
  for (const auto& contact : spec.contacts) text += contact + "\n";
  text += text_of(spec.dns) + text_of(spec.purchase);
  for (const auto kind : spec.challenges) text += to_string(kind);
  for (const auto& identity : spec.caa_identities) text += "\n" + identity;
  text += "\n" + std::to_string(spec.timeout.count()) + "\n" + std::to_string(spec.connect_timeout.count()) + "\n";
  if (spec.external_account) text += spec.external_account->kid + "\n" + digest(spec.external_account->hmac_key);
  return text;
}

}  // namespace

std::optional<IssuerAccess> IssuerAccounts::access(const IssuerSpec& spec) {
  const std::string text = text_of(spec);
  const std::lock_guard lock(mutex_);
  const auto found = issuer_accounts_.find(text);
  if (found != issuer_accounts_.end()) return found->second;
  auto issuer = make_(spec);
  if (!issuer) {
    Event event;
    event.name = "action_required";
    event.level = LogLevel::error;
    event.issuer = spec.name;
    event.sentence = "the issuer \"" + spec.name + "\" cannot be used: " + issuer.error().message;
    events_.tell(std::move(event));
    return std::nullopt;
  }
  IssuerAccess access{std::move(issuer).value(), make_solver_(spec), std::make_shared<Budget>(spec.max_orders),
                      to_hex(sha256(bytes_of(text)))};
  issuer_accounts_.emplace(text, access);
  return access;
}

void IssuerAccounts::keep(const std::set<std::shared_ptr<const Plan>>& plans) {
  std::set<std::string> named;
  for (const auto& plan : plans) {
    for (const auto& spec : plan->issuers) named.insert(text_of(spec));
  }
  // What goes may close connections: not while others wait for us.
  std::vector<IssuerAccess> gone;
  const std::lock_guard lock(mutex_);
  for (auto one = issuer_accounts_.begin(); one != issuer_accounts_.end();) {
    if (named.contains(one->first)) {
      ++one;
      continue;
    }
    gone.push_back(std::move(one->second));
    one = issuer_accounts_.erase(one);
  }
}

std::vector<std::shared_ptr<Issuer>> IssuerAccounts::issuers() {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Issuer>> all;
  for (const auto& [text, access] : issuer_accounts_) all.push_back(access.issuer);
  return all;
}

}  // namespace evercert
