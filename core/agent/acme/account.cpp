#include "agent/acme/account.h"

#include <algorithm>
#include <utility>

#include "agent/acme/problem.h"
#include "evercert/text.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"
#include "serving/key/key_provider.h"

namespace evercert {
namespace {

// Often enough for a server that was set up anew, too rare to make a fault into a flood of accounts.
constexpr std::chrono::hours heal_interval{1};

bool says_one_of(const Error& error, std::initializer_list<const char*> words) {
  std::string said = error.problem ? error.problem->detail : "";
  std::transform(said.begin(), said.end(), said.begin(),
                 [](char letter) { return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter; });
  // Whom to ask is no fault of ours.
  for (const std::string_view whom : {"contact us", "contact support", "contact your", "please contact"}) {
    for (auto at = said.find(whom); at != std::string::npos; at = said.find(whom)) said.erase(at, whom.size());
  }
  return std::any_of(words.begin(), words.end(), [&](const char* word) { return said.find(word) != std::string::npos; });
}

// Ours, for what stands in the configuration.
Error of_configuration(Error error, const char* word, const std::string& remedy, const std::string& link = "") {
  Problem problem = error.problem ? *error.problem : Problem();
  problem.type = std::string("urn:evercert:error:") + word;
  if (!link.empty()) problem.instance = link;
  error.problem = std::make_shared<const Problem>(std::move(problem));
  error.kind = ErrorKind::configuration;
  error.message += "; " + remedy;
  return error;
}

// Whoever is refused for what stands in the configuration needs no second try, but another configuration. RFC 8555 leaves open
// how a binding (section 7.3.4) or a missing contact is refused: the CA's words tell them apart, and what they do not tell is
// left at them.
Error with_remedy(Error error, const IssuerSpec& spec) {
  const auto is = [&](const char* type) { return is_problem(error, type); };
  const bool vague = is("malformed") || is("unauthorized");
  if (is("invalidContact") || is("unsupportedContact") ||
      (vague && says_one_of(error, {"contact", "email", "e-mail", "mailto"}))) {
    return of_configuration(std::move(error), "contact",
                            spec.contacts.empty() ? "set contact to a mail address" : "correct contact");
  }
  const bool binding =
      is("externalAccountRequired") ||
      (vague && says_one_of(error, {"external", "eab", "binding", "hmac", "key identifier", "kid", "credential"}));
  if (!spec.external_account && binding)
    return of_configuration(std::move(error), "externalAccountRequired", "set external_account_key as the CA gave it to you");
  if (spec.external_account && (binding || is("unauthorized")))
    return of_configuration(std::move(error), "externalAccount",
                            "compare external_account_key with what the CA gave you: both its key identifier and its key");
  return error;
}

}  // namespace

Account::Account(const IssuerSpec& spec, AcmeServer& server, AccountRecords& records, Events& events)
    : spec_(spec), server_(server), records_(records), events_(events), id_(record_id(spec)) {}

std::string Account::record_id(const IssuerSpec& spec) {
  std::string text = spec.uri + '\n' + spec.account_key.text() + '\n';
  if (spec.external_account) text += spec.external_account->kid;
  text += '\n';
  if (!spec.account_key_pem.empty()) text += to_hex(sha256(spec.account_key_pem.view()));
  return to_hex(sha256(bytes_of(text))).substr(0, 32);
}

Result<HttpResponse> Account::post(const AcmeServer::Request& request) {
  return with_healing(request, [&](const Registered& account) { return server_.send(*account.key, account.url, request); });
}

Result<HttpResponse> Account::post(std::string Directory::*address, const AcmeServer::Request& request) {
  return with_healing(request,
                      [&](const Registered& account) { return server_.send(*account.key, account.url, address, request); });
}

template <typename Send>
Result<HttpResponse> Account::with_healing(const AcmeServer::Request& request, Send send) {
  auto account = registered();
  if (!account) return account.error();
  auto response = send(*account);
  if (!response || response->status < 400) return response;
  Error error = server_.refused(*response, request.what);
  const bool lost =
      is_problem(error, "accountDoesNotExist") || (is_problem(error, "unauthorized") && request.url == account->url);
  if (!lost) return error;
  auto healed = heal(*account);
  if (!healed) return healed.error().with_prefix(server_.who() + " no longer knows our account, and registering again failed");
  if (!*healed) return error;
  response = send(**healed);
  if (!response || response->status < 400) return response;
  return server_.refused(*response, request.what);
}

Result<std::string> Account::url() {
  auto account = registered();
  if (!account) return account.error();
  return account->url;
}

Result<std::string> Account::key_authorization(std::string_view token) {
  const auto turn = registering_.take();
  if (auto loaded = load_key(); !loaded) return loaded.error();
  return evercert::key_authorization(token, *key_);
}

Result<Account::Registered> Account::registered() {
  const auto turn = registering_.take();
  if (auto loaded = load_key(); !loaded) return loaded.error();
  if (record_.url.empty()) {
    if (turn.failed) return *turn.failed;
    auto made = register_key(key_is_new_ ? Find::not_at_all : Find::first);
    if (!made) return registering_.fail(made.error());
  }
  const bool changed = record_.contacts ? *record_.contacts != spec_.contacts : !spec_.contacts.empty();
  if (changed && !std::exchange(contacts_told_, true)) tell_contacts();
  return Registered{key_, record_.url};
}

// RFC 8555 section 7.3.2. Not being told of is no reason for the CA to refuse orders, so it is none for us to place none.
void Account::tell_contacts() {
  const std::string what = "change the contacts of our account";
  auto response = server_.send(*key_, record_.url, {record_.url, dump_json({{"contact", spec_.contacts}}), what, ""});
  std::optional<Error> error;
  if (!response) {
    error = response.error();
  } else if (response->status >= 400) {
    error = with_remedy(server_.refused(*response, what), spec_);
  } else {
    AccountRecord record = record_;
    record.contacts = spec_.contacts;
    if (auto saved = records_.save(id_, record); !saved) error = saved.error();
    record_ = std::move(record);
  }
  const std::string sentence =
      error ? error->message : server_.who() + " has the contacts of our account as they are configured";
  events_.tell({error ? "contacts_not_changed" : "contacts_changed",
                error ? LogLevel::warn : LogLevel::info,
                {},
                "",
                spec_.name,
                sentence,
                {{"account", record_.url}}});
}

// An empty optional: nothing more can be done now.
Result<std::optional<Account::Registered>> Account::heal(const Registered& lost) {
  const auto turn = registering_.take();
  if (record_.url != lost.url) {
    // Another thread has been here meanwhile.
    if (record_.url.empty()) return std::optional<Registered>();
    return std::optional<Registered>(Registered{key_, record_.url});
  }
  if (turn.failed) return *turn.failed;
  const auto now = server_.clock().now();
  if (healed_ && now - *healed_ < heal_interval && now >= *healed_) return std::optional<Registered>();
  events_.tell({"account_lost",
                LogLevel::warn,
                {},
                "",
                spec_.name,
                server_.who() + " no longer knows our account " + lost.url + "; it is registered again with the same key",
                {{"account", lost.url}}});
  auto again = register_key(Find::not_at_all);
  // A CA that went away meanwhile has refused nothing.
  if (again || again.error().kind != ErrorKind::connection) healed_ = now;
  if (!again) return registering_.fail(again.error());
  return std::optional<Registered>(std::move(*again));
}

Result<Done> Account::load_key() {
  if (key_) return Done{};
  auto found = records_.load(id_);
  if (!found) return found.error();
  if (*found) return take_record(std::move(**found));

  AccountRecord record;
  record.directory = spec_.uri;
  if (spec_.account_key_pem.empty()) {
    auto made = make_file_keys()->generate(spec_.account_key);
    if (!made) return made.error().with_prefix("the key of the account at " + server_.who() + " could not be made");
    record.key = std::move(made->bytes);
    key_is_new_ = true;
  }
  const Secret own = record.key;
  auto kept = records_.add(id_, record);
  if (!kept) return kept.error();
  if (kept->key.text() != own.text()) key_is_new_ = false;
  return take_record(std::move(*kept));
}

Result<Done> Account::take_record(AccountRecord record) {
  auto opened = spec_.account_key_pem.empty() ? make_file_keys()->open(record.key, "") : read_pem_key(spec_.account_key_pem);
  if (!opened) return opened.error().with_prefix("the key of the account at " + server_.who() + " cannot be used");
  auto key = AccountKey::make(std::move(opened->handle));
  if (!key) return key.error().with_prefix(server_.who());
  key_ = std::make_shared<const AccountKey>(std::move(*key));
  record_ = std::move(record);
  return Done{};
}

Result<Account::Registered> Account::register_key(Find find) {
  std::string url;
  bool existed = false;
  if (find == Find::first) {
    // The key may have an account already (RFC 8555 section 7.3.1).
    auto found = ask_for_account(R"({"onlyReturnExisting":true})", existed);
    if (found) {
      url = std::move(*found);
    } else if (!is_problem(found.error(), "accountDoesNotExist")) {
      return found.error();
    }
  }
  if (url.empty()) {
    auto directory = server_.directory();
    if (!directory) return directory.error();
    auto payload = payload_for(**directory);
    if (!payload) return payload.error();
    auto made = ask_for_account(*payload, existed);
    if (!made) return with_remedy(made.error(), spec_);
    url = std::move(*made);
  }
  AccountRecord record = record_;
  record.url = url;
  // An account that was there keeps the contacts it has (RFC 8555 section 7.3.1).
  record.contacts.reset();
  if (!existed) record.contacts = spec_.contacts;
  if (auto saved = records_.save(id_, record); !saved) return saved.error();
  record_ = std::move(record);
  key_is_new_ = false;
  events_.tell({"account_created",
                LogLevel::info,
                {},
                "",
                spec_.name,
                server_.who() + (existed ? " knows our key as account " : " registered our account ") + url,
                {{"account", url}, {"existed", existed ? "true" : "false"}}});
  return Registered{key_, url};
}

Result<std::string> Account::payload_for(const Directory& directory) const {
  if (!directory.terms_of_service.empty() && !spec_.terms_accepted) {
    return of_configuration(
        {ErrorKind::configuration, server_.who() + " takes accounts only from those who agree to its terms"}, "termsOfService",
        "read " + directory.terms_of_service + " and set accept_terms_of_service", directory.terms_of_service);
  }
  if (directory.external_account_required && !spec_.external_account) {
    return of_configuration({ErrorKind::configuration, server_.who() + " takes accounts only from its customers"},
                            "externalAccountRequired",
                            "get a key identifier and an HMAC key from it and set external_account_key");
  }
  Json payload = Json::object();
  if (spec_.terms_accepted) payload["termsOfServiceAgreed"] = true;
  if (!spec_.contacts.empty()) payload["contact"] = spec_.contacts;
  if (spec_.external_account) {
    auto binding = external_account_binding(*spec_.external_account, directory.new_account, *key_);
    if (!binding) return binding.error();
    auto json = parse_json(*binding, "the external account binding");
    if (!json) return json.error();
    payload["externalAccountBinding"] = std::move(*json);
  }
  return dump_json(payload);
}

Result<std::string> Account::ask_for_account(const std::string& payload, bool& existed) {
  const std::string what = "register an account";
  auto response = server_.send(*key_, "", &Directory::new_account, {"", payload, what, ""});
  if (!response) return response.error();
  if (response->status != 200 && response->status != 201) return server_.refused(*response, what);
  existed = response->status == 200;
  auto json = parse_json(response->body, "the account");
  if (json && json->is_object()) {
    const auto status = json->find("status");
    if (status != json->end() && status->is_string() && *status != "valid") {
      return Error{ErrorKind::action_required, server_.who() + " says our account is " +
                                                   printable(status->get_ref<const std::string&>(), longest_quote) +
                                                   "; use another account_key or ask the CA"};
    }
  }
  std::string url = response->header("Location");
  if (url.empty()) return Error{ErrorKind::connection, server_.who() + " registered an account without saying its address"};
  if (auto usable = server_.check(url, "use our account"); !usable) return usable.error();
  return url;
}

}  // namespace evercert
