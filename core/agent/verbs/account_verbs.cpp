#include "agent/verbs/account_verbs.h"

#include "agent/control/verb_words.h"
#include "agent/observe/event_json.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"
#include "serving/base/openssl_handles.h"
#include "serving/certificate/read_certificate.h"
#include "serving/config/words.h"
#include "serving/key/key_provider.h"

namespace evercert {
namespace {

std::vector<std::string> texts_in(const Json& json, const char* member) {
  if (!json.contains(member)) return {};
  auto texts = json_texts(json, member, "the request");
  return texts ? std::move(*texts) : std::vector<std::string>();
}

Result<KeyDigest> digest_of(EVP_PKEY* key) {
  std::uint8_t* encoded = nullptr;
  const int size = i2d_PUBKEY(key, &encoded);
  const OpensslBytesHandle owned(encoded);
  if (size <= 0) return openssl_error(ErrorKind::key_provider, "a key's public half cannot be read");
  return to_hex(sha256({encoded, static_cast<std::size_t>(size)}));
}

}  // namespace

std::optional<IssuerAccess> AccountVerbs::access_of(const std::string& issuer) const {
  for (const auto& [name, item] : leader_.plans().items()) {
    if (item.plan->issuer(issuer) != nullptr) return leader_.access_of(item, issuer);
  }
  return std::nullopt;
}

std::vector<std::string> AccountVerbs::issuers() const {
  std::set<std::string> names;
  for (const auto& [name, item] : leader_.plans().items()) {
    for (const auto& issuer : item.certificate.issuers) names.insert(issuer);
  }
  return {names.begin(), names.end()};
}

std::vector<std::string> AccountVerbs::issuers_with_account() const {
  std::vector<std::string> with_account;
  for (const auto& name : issuers()) {
    const auto access = access_of(name);
    if (access && access->issuer->account() != nullptr) with_account.push_back(name);
  }
  return with_account;
}

// --- import ---

Result<AccountImport::Wish> AccountVerbs::wish_of(const Json& request, const std::string& issuer) const {
  AccountImport::Wish wish;
  wish.filter.names = texts_in(request, "names");
  wish.filter.group = text_of(request, "group");
  wish.filter.since = text_of(request, "since");
  wish.filter.until = text_of(request, "until");
  if (request.contains("open") && request["open"] == true) wish.filter.states = {ListedState::open};
  for (const auto& word : texts_in(request, "with")) {
    for (const auto state : {ListedState::expired, ListedState::revoked, ListedState::rejected}) {
      if (word == to_string(state)) wish.filter.states.insert(state);
    }
  }
  for (const auto& text : texts_in(request, "keys")) {
    auto bytes = from_base64(text);
    if (!bytes) return Error{ErrorKind::configuration, "a given key is not base64"};
    Secret secret(std::move(*bytes));
    auto key = make_file_keys()->open(secret, "");
    auto spec = key ? spec_of(key->handle.get()) : Result<KeySpec>(key.error());
    if (!spec) return spec.error();
    auto digest = digest_of(key->handle.get());
    if (!digest) return digest.error();
    wish.given.emplace(*digest, GivenKey{*spec, std::move(secret)});
  }
  for (const auto& [name, item] : leader_.plans().items()) {
    wish.configured.emplace(AccountImport::set_of(item.certificate.identifiers), item.certificate);
    for (const auto& pair : leader_.publication().current(name).pairs) {
      wish.published.emplace(to_hex(sha256(pair.public_key)), name);
    }
  }
  wish.under_way = leader_.under_way(issuer);
  return wish;
}

void AccountVerbs::import(ControlServer::Client client, const Json& request) {
  const std::string name = text_of(request, "issuer");
  if (running_.contains(name)) return server_.finish(client, exit_failed, "an import from " + name + " is under way");
  const auto access = access_of(name);
  if (!access) {
    return server_.finish(client, exit_failed,
                          "no certificate is configured for the issuer \"" + name + "\", or it cannot be used" +
                              did_you_mean(name, issuers(), ""));
  }
  IssuerAccount* const account = access->issuer->account();
  if (account == nullptr) {
    return server_.finish(client, exit_failed,
                          "issuer " + name + " is of type " + access->issuer->spec().type +
                              ", which does not list what was ordered: import certbot, mod-md or nginx-acme read files");
  }
  if (!text_of(request, "group").empty() && !account->has_groups()) {
    return server_.finish(client, exit_failed,
                          "issuer " + name + " is of type " + access->issuer->spec().type +
                              ", whose orders belong to no group: remove --group, nothing was read");
  }
  auto wish = wish_of(request, name);
  if (!wish) return server_.finish(client, exit_failed, wish.error().message);
  begin(client, *access, *account, std::move(*wish));
}

void AccountVerbs::begin(ControlServer::Client client, const IssuerAccess& access, IssuerAccount& account,
                         AccountImport::Wish wish) {
  const std::string name = access.issuer->spec().name;
  auto ledger = ImportLedger::open(context_.state_directory, name, access.issuer->spec().uri);
  if (!ledger) return server_.finish(client, exit_failed, ledger.error().message);
  const auto ended = std::make_shared<std::atomic<bool>>(false);
  const auto alive = std::weak_ptr<bool>(alive_);
  // On workers only what outlives us may be touched.
  AgentContext& context = context_;
  Leader& leader = leader_;
  const auto tell = [this, &context, client, name, alive](const char* step, const std::string& certificate,
                                                          const std::string& sentence) {
    Event event{step, LogLevel::notice, context.clock.now(), certificate, name, sentence, {}};
    // Only what has changed something is a matter for the audit trail.
    if (event.name == "imported") context.events.tell(event);
    context.loop.post([this, client, event, alive] {
      if (!alive.expired()) server_.send(client, Json{{"event", event_json(event)}});
    });
  };
  const auto import = std::make_shared<AccountImport>(
      AccountImport::Parts{account, access.issuer->spec(), context_.clock, leader_.publication(), context_.store,
                           context_.keys.serving, [&leader](OrderRecord record) { return leader.take_over(std::move(record)); },
                           tell},
      std::move(wish), std::move(*ledger));
  running_[name] = {client, ended};
  constexpr double after_orders = 3;
  // The access goes along: its issuer is to live as long as the job.
  leader_.workers().add(
      "import from " + name, after_orders, context_.clock.now(),
      [this, &context, client, name, import, ended, alive, access]() -> Workers::Again {
        if (*ended) return {std::nullopt, true};
        const auto later = import->step();
        if (!import->done()) return {later ? *later : context.clock.now()};
        const bool person = import->failure() && import->failure()->kind == ErrorKind::action_required;
        const int exit = person ? exit_person : import->failure() || !import->nothing_refused() ? exit_failed : exit_done;
        context.loop.post([this, client, name, exit, message = import->summary(), alive] {
          if (alive.expired()) return;
          running_.erase(name);
          server_.finish(client, exit, message);
        });
        return {std::nullopt, true};
      });
}

void AccountVerbs::gone(ControlServer::Client client) {
  for (auto running = running_.begin(); running != running_.end();) {
    if (running->second.client != client) {
      ++running;
      continue;
    }
    *running->second.ended = true;
    running = running_.erase(running);
  }
}

// --- sync ---

void AccountVerbs::sync(ControlServer::Client client, const Json& request) {
  const std::string name = text_of(request, "issuer");
  const auto names = name.empty() ? issuers_with_account() : std::vector<std::string>{name};
  std::vector<std::shared_ptr<Issuer>> issuers;
  for (const auto& one : names) {
    const auto access = access_of(one);
    if (access && access->issuer->account() != nullptr) issuers.push_back(access->issuer);
  }
  if (issuers.empty() && !name.empty() && !access_of(name)) {
    return server_.finish(client, exit_failed,
                          "no certificate is configured for the issuer \"" + name + "\", or it cannot be used" +
                              did_you_mean(name, this->issuers(), ""));
  }
  if (issuers.empty()) {
    return server_.finish(
        client, exit_done,
        "nothing to do: " +
            (name.empty() ? std::string("no issuer of the configuration has") : "the issuer " + name + " has no") +
            (name.empty() ? " an account whose lists can be read" : " account whose lists can be read"));
  }
  work_(client, [issuers]() -> Result<std::string> {
    std::string text;
    for (const auto& issuer : issuers) {
      auto offers = issuer->account()->sync(true);
      if (!offers) return offers.error();
      text += (text.empty() ? "" : "; ") + std::string("issuer ") + issuer->spec().name + ": " + offers->summary();
      if (const auto missing = offers->missing_in(issuer->spec().purchase)) {
        return Error{ErrorKind::action_required, "issuer " + issuer->spec().name + ": " + *missing};
      }
    }
    return text;
  });
}

}  // namespace evercert
