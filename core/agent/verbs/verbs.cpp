#include "agent/verbs/verbs.h"

#include <algorithm>

#include "agent/control/verb_words.h"
#include "agent/issuer/revocation_reasons.h"
#include "agent/lead/attachment.h"
#include "agent/observe/event_json.h"
#include "serving/base/bounds.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"
#include "serving/config/identifier.h"
#include "serving/config/words.h"

namespace evercert {
namespace {

// A server that reloads is away for less than this; its certificates stay in work meanwhile.
constexpr std::chrono::seconds follower_grace{10};
constexpr std::chrono::hours told_again_after{1};
// A CA asks a handful of times for one answer; what counts further counts nothing.
constexpr std::int64_t most_hits = 1'000'000;

// RFC 5280 section 5.3.1, as far as the owner of a certificate may say it.
std::optional<int> reason_code(const std::string& word) {
  for (const auto& row : revocation_reasons) {
    if (word == row.name) return row.number;
  }
  return word.empty() ? std::optional<int>(0) : std::nullopt;
}

}  // namespace

Verbs::Verbs(AgentContext& context, Leader& leader, std::function<void(ControlServer::Client)> hand_over,
             std::function<void()> render)
    : context_(context),
      leader_(leader),
      hand_over_(std::move(hand_over)),
      render_(std::move(render)),
      server_(context.loop, context.keys.agent,
              {[this](ControlServer::Client client, const Json& message, bool proved) { request(client, message, proved); },
               [this](ControlServer::Client client) { gone(client); }}),
      account_(context, leader, server_, [this](ControlServer::Client client, std::function<Result<std::string>()> action) {
        work(client, std::move(action));
      }) {}

void Verbs::request(ControlServer::Client client, const Json& request, bool proved) {
  const std::string verb = text_of(request, "verb");
  if (const auto follower = followers_.find(client); follower != followers_.end()) {
    return told_by_follower(follower->second, request);
  }
  if (verb == "ping") return server_.finish(client, exit_done, "the agent leads");
  static const std::set<std::string> changing{"renew",  "rollback", "revoke", "revocable", "adopt",
                                              "cancel", "test",     "import", "sync",      "attach"};
  if (!changing.contains(verb)) return server_.finish(client, exit_usage, "the agent does not know the verb \"" + verb + "\"");
  if (!proved) {
    return server_.finish(
        client, exit_failed,
        "only who may read seal.key of this state directory, root, may ask for " + verb + ", and says so sealed");
  }
  if (verb == "attach") return attach(client, request);
  // Whoever waits for a CA is to know that it is not the agent that does not answer.
  server_.send(client, Json{{"accepted", true}});
  if (verb == "renew") return renew(client, request);
  if (verb == "rollback") return rollback(client, request);
  if (verb == "revoke") return revoke(client, request);
  if (verb == "revocable") return revocable(client, request);
  if (verb == "cancel") return cancel(client, request);
  if (verb == "test") return test(client, request);
  if (verb == "import") return account_.import(client, request);
  if (verb == "sync") return account_.sync(client, request);
  adopt(client, request);
}

void Verbs::keep_socket() {
  if (!server_.lost_its_name()) return;
  const auto again = server_.open(context_.state_path);
  const auto now = std::chrono::steady_clock::now();
  if (socket_told_ && now - *socket_told_ < told_again_after) return;
  socket_told_ = now;
  const std::string what = "somebody who may write to " + context_.state_path + "/state has taken the control socket away";
  context_.log.write(LogLevel::error,
                     again ? what + "; it was made anew: find out who" : what + ", and " + again.error().message);
}

void Verbs::gone(ControlServer::Client client) {
  waiting_.erase(client);
  cancelling_.erase(client);
  account_.gone(client);
  const auto follower = followers_.find(client);
  if (follower == followers_.end()) return;
  const std::string instance = follower->second;
  followers_.erase(follower);
  if (!follows(instance)) leader_.shared_answers().left(instance);
  context_.loop.after(follower_grace, [this, instance, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired() && !follows(instance)) leader_.forget(instance);
  });
}

bool Verbs::follows(const std::string& instance) const {
  return std::any_of(followers_.begin(), followers_.end(), [&](const auto& follower) { return follower.second == instance; });
}

const PlanUnion::Item* Verbs::item_of(ControlServer::Client client, const Json& request) {
  const std::string name = text_of(request, "name");
  const auto* item = leader_.plans().find_by_any_name(name);
  if (item == nullptr) server_.finish(client, exit_failed, unknown(name));
  return item;
}

std::string Verbs::unknown(const std::string& name) const {
  if (leader_.lines().find(name)) return "\"" + name + "\" is stored, but no configuration names it";
  const auto identifier = parse_identifier(name);
  std::set<std::string> known;
  std::string having;
  unsigned count = 0;
  for (const auto& [line, item] : leader_.plans().items()) {
    known.insert(line);
    for (const auto& one : item.certificate.identifiers) {
      known.insert(one.value);
      if (!identifier || one != *identifier) continue;
      having += (having.empty() ? "" : ", ") + line;
      ++count;
    }
  }
  if (count > 1) return "\"" + name + "\" is a name of " + std::to_string(count) + " certificates, say which: " + having;
  return "no configuration names the certificate \"" + name + "\"" +
         did_you_mean(name, {known.begin(), known.end()}, "; evercert list names them");
}

// --- what workers do ---

void Verbs::work(ControlServer::Client client, std::function<Result<std::string>()> action) {
  constexpr double at_once = -2;
  const std::string job = "request " + std::to_string(client);
  leader_.workers().add(job, at_once, context_.clock.now(),
                        [this, client, action = std::move(action), alive = std::weak_ptr<bool>(alive_)]() -> Workers::Again {
                          const auto outcome = action();
                          const bool person = !outcome && (outcome.error().kind == ErrorKind::action_required ||
                                                           outcome.error().kind == ErrorKind::configuration);
                          const int exit = outcome ? exit_done : person ? exit_person : exit_failed;
                          const std::string message = outcome ? *outcome : outcome.error().message;
                          context_.loop.post([this, client, exit, message, alive] {
                            if (alive.expired()) return;
                            render_();
                            server_.finish(client, exit, message);
                          });
                          return {std::nullopt, true};
                        });
}

void Verbs::rollback(ControlServer::Client client, const Json& request) {
  const auto* item = item_of(client, request);
  if (item == nullptr) return;
  std::optional<std::uint64_t> to;
  if (request.contains("to")) {
    const auto number = json_number(request, "to", "the request", 1, static_cast<std::int64_t>(highest_generation));
    // Never the one before instead: a person who names a generation means that one.
    if (!number) return server_.finish(client, exit_usage, "there is no such generation: " + number.error().message);
    to = static_cast<std::uint64_t>(*number);
  }
  work(client, [this, certificate = item->certificate, to]() -> Result<std::string> {
    auto generation = leader_.publication().roll_back(certificate, to);
    if (!generation) return generation.error();
    return certificate.name + " was rolled back as generation " + std::to_string(*generation);
  });
}

void Verbs::revoke(ControlServer::Client client, const Json& request) {
  const auto* item = item_of(client, request);
  if (item == nullptr) return;
  const std::string comment = text_of(request, "comment");
  const auto reason = reason_code(text_of(request, "reason"));
  if (!reason) {
    return server_.finish(client, exit_usage,
                          "there is no such reason; say keyCompromise, affiliationChanged, superseded, cessationOfOperation or "
                          "privilegeWithdrawn");
  }
  work(client, [this, item = *item, why = Revocation{*reason, comment, item->certificate.name}]() -> Result<std::string> {
    auto newest = newest_bundle(context_.store, context_.keys.serving, item.certificate.name);
    if (!newest) return newest.error();
    if (!newest->bundle) return Error{ErrorKind::configuration, item.certificate.name + " has no certificate to revoke"};
    auto access = leader_.access_of(item, newest->bundle->issuer);
    if (!access) access = leader_.access_of(item, item.certificate.issuers.front());
    if (!access) return Error{ErrorKind::configuration, "its issuer " + newest->bundle->issuer + " is not configured"};
    bool requested = false;
    for (const auto& pair : newest->bundle->pairs) {
      const Secret* key = pair.private_key.empty() ? nullptr : &pair.private_key;
      auto revoked = access->issuer->revoke(pair.leaf, why, key);
      if (!revoked) return revoked.error();
      requested = requested || *revoked == Fulfilment::requested;
    }
    std::vector<Bytes> leaves;
    for (const auto& pair : newest->bundle->pairs) leaves.push_back(pair.leaf);
    if (!requested) {
      leader_.publication().revoked(item.certificate.name, leaves);
      leader_.watch_revoked();
    }
    const std::string what = "generation " + std::to_string(newest->bundle->generation) + " of " + item.certificate.name;
    Event event;
    event.name = "revoked";
    event.level = LogLevel::notice;
    event.certificate = item.certificate.name;
    event.issuer = newest->bundle->issuer;
    event.sentence = what + " was revoked";
    if (requested) {
      event.name = "revocation_requested";
      event.sentence =
          "the CA was asked to revoke " + what +
          " and does not show yet that it has; somebody there may have to agree. It is looked at until it is true, "
          "and the status shows it";
    }
    context_.events.tell(event);
    if (requested) return Error{ErrorKind::action_required, event.sentence};
    const auto current = leader_.publication().current(item.certificate.name);
    const std::string there = !current.revoked_at() ? "" : current.served ? "it is still served; " : "it is still in use; ";
    const bool unsent = !why.comment.empty() && !access->issuer->takes_comments();
    return event.sentence + "; " + (unsent ? "the comment was not sent: the CA has no place for one; " : "") + there +
           "order another: evercert renew " + item.certificate.name;
  });
}

void Verbs::revocable(ControlServer::Client client, const Json& request) {
  const auto* item = item_of(client, request);
  if (item == nullptr) return;
  const std::string& name = item->certificate.name;
  const auto generation = leader_.publication().current(name).generation;
  if (generation == 0) return server_.finish(client, exit_failed, name + " has no certificate to revoke");
  server_.finish(client, exit_done, "generation " + std::to_string(generation) + " of " + name + " can be revoked");
}

void Verbs::cancel(ControlServer::Client client, const Json& request) {
  const auto* item = item_of(client, request);
  if (item == nullptr) return;
  if (auto refused = leader_.cancel(item->certificate.name))
    return server_.finish(client, exit_done, "nothing to do: " + *refused);
  cancelling_.emplace(
      client, Cancelling{item->certificate.name,
                         "the open order of " + item->certificate.name + " is given up; renew orders again", exit_done});
}

// The CA's word comes first, where it has one; the renewal's own ends it.
void Verbs::cancelled(const Event& event) {
  std::vector<ControlServer::Client> over;
  for (auto& [client, one] : cancelling_) {
    if (one.name != event.certificate) continue;
    server_.send(client, Json{{"event", event_json(event)}});
    const bool asked = event.name == "cancellation_requested";
    if (event.name == "order_cancelled" || event.name == "order_not_cancelled" || asked) {
      one.said = event.sentence;
      one.exit = asked ? exit_person : event.name == "order_cancelled" ? exit_done : exit_failed;
    }
    const bool too_late = event.name == "cancel_too_late";
    if (too_late) {
      one.said = event.sentence;
      one.exit = exit_failed;
    }
    if (too_late || event.name == "action_required" || event.name == "renewal_failed") over.push_back(client);
  }
  for (const auto client : over) {
    const Cancelling one = cancelling_.extract(client).mapped();
    render_();
    server_.finish(client, one.exit, one.said);
  }
}

// Whether the CA takes our credentials, by the same issuer that orders are placed with.
void Verbs::test(ControlServer::Client client, const Json& request) {
  const std::string name = text_of(request, "issuer");
  for (const auto& entry : leader_.plans().items()) {
    if (entry.second.plan->issuer(name) == nullptr) continue;
    return work(client, [this, item = entry.second, name]() -> Result<std::string> {
      auto access = leader_.access_of(item, name);
      if (!access) return Error{ErrorKind::configuration, "the issuer \"" + name + "\" cannot be used; the log says why"};
      auto known = access->issuer->test_login();
      if (!known) return known.error();
      return "issuer " + name + " takes our credentials: we are " + *known;
    });
  }
  server_.finish(client, exit_failed,
                 "no configuration names the issuer \"" + name + "\" for a certificate" +
                     did_you_mean(name, account_.issuers(), "; the certificates' own are in evercert show NAME"));
}

void Verbs::adopt(ControlServer::Client client, const Json& request) {
  Bundle bundle;
  const auto name = parse_certificate_name(text_of(request, "name"));
  if (!name) return server_.finish(client, exit_usage, name.error().message);
  bundle.name = *name;
  bundle.issuer = text_of(request, "issuer").empty() ? "import" : text_of(request, "issuer");
  bundle.origin = text_of(request, "origin").empty() ? "import" : text_of(request, "origin");
  bundle.issued_at = context_.clock.now();
  try {
    for (const auto& given : request.at("pairs")) {
      BundlePair pair;
      auto leaf = from_base64(given.at("leaf").get<std::string>());
      auto key = from_base64(given.at("private").get<std::string>());
      if (!leaf || !key) return server_.finish(client, exit_failed, "the certificate or its key is not base64");
      pair.leaf = std::move(leaf).value();
      pair.private_key = Secret(std::move(key).value());
      for (const auto& one : given.at("chain")) {
        auto certificate = from_base64(one.get<std::string>());
        if (!certificate) return server_.finish(client, exit_failed, "the chain is not base64");
        pair.chain.push_back(std::move(certificate).value());
      }
      auto opened = make_file_keys()->open(pair.private_key, "");
      auto spec = opened ? spec_of(opened->handle.get()) : Result<KeySpec>(opened.error());
      if (!spec) return server_.finish(client, exit_failed, spec.error().message);
      pair.key = *spec;
      bundle.pairs.push_back(std::move(pair));
    }
  } catch (const Json::exception&) {
    return server_.finish(client, exit_usage, "the request to adopt does not hold pairs of leaf, chain and private key");
  }
  if (bundle.pairs.empty()) return server_.finish(client, exit_usage, "there is nothing to adopt");
  auto facts = leaf_facts(bundle.pairs.front().leaf);
  if (!facts) return server_.finish(client, exit_failed, facts.error().message);
  bundle.identifiers = facts->identifiers;
  const bool named = request.contains("named") && request["named"] == true;
  work(client, leader_.adopting(std::move(bundle), named));
}

// --- other agents ---

void Verbs::attach(ControlServer::Client client, const Json& request) {
  auto attachment = open_attachment(context_, text_of(request, "server"), text_of(request, "plan"));
  if (!attachment) return server_.finish(client, exit_failed, attachment.error().message);
  if (attachment->instance == context_.instance && attachment->started >= context_.started) {
    followers_[client] = "";
    return hand_over_(client);
  }
  followers_[client] = attachment->instance;
  // An older agent of our own server waits for its end; our plan is the newer one, and our board is its board.
  if (attachment->instance != context_.instance) {
    leader_.shared_answers().joined(attachment->instance);
    leader_.follow(std::move(attachment->source));
  }
  server_.send(client, Json{{"you", "follow"}});
}

void Verbs::told_by_follower(const std::string& instance, const Json& message) {
  if (const std::string shown = text_of(message, "shown"); !shown.empty()) {
    return leader_.shared_answers().shown(instance, shown);
  }
  const std::string token = text_of(message, "asked");
  if (token.empty()) return proved(message);
  // An older agent of our own server reads the page that is ours, too, and may have heard the bell in our place.
  if (instance == context_.instance) return leader_.hits_came();
  const auto times = json_number(message, "times", "a follower's message", 1, most_hits);
  if (times) leader_.hits_came(token, static_cast<std::uint32_t>(*times));
}

void Verbs::proved(const Json& message) {
  const std::string served = text_of(message, "served");
  const std::string not_served = text_of(message, "not_served");
  auto generation =
      json_number(message, "generation", "a follower's message", 1, static_cast<std::int64_t>(highest_generation));
  if (!generation) return;
  for (const char* const what : {"exported", "export_failed", "told_to_hook", "hook_failed"}) {
    if (const std::string name = text_of(message, what); !name.empty())
      return leader_.publication().delivered_elsewhere(name, what, static_cast<std::uint64_t>(*generation),
                                                       text_of(message, "message"));
  }
  if (served.empty() && not_served.empty()) return;
  leader_.publication().proved_elsewhere(served.empty() ? not_served : served, static_cast<std::uint64_t>(*generation),
                                         text_of(message, "listener"), !served.empty(), text_of(message, "message"));
}

}  // namespace evercert
