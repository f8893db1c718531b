// The verb renew: asks for one certificate or for all, streams what happens, and ends when the servers present what was issued.
#include <algorithm>

#include "agent/control/verb_words.h"
#include "agent/observe/event_json.h"
#include "agent/verbs/verbs.h"

namespace evercert {
namespace {

constexpr std::size_t most_named = 5;

std::string field_of(const Event& event, const std::string& name) {
  for (const auto& [field, value] : event.fields) {
    if (field == name) return value;
  }
  return "";
}

bool flag_of(const Json& request, const char* member, bool absent) {
  return request.contains(member) && request[member].is_boolean() ? request[member].get<bool>() : absent;
}

template <typename Names, typename NameOf>
std::string listed(const Names& names, NameOf name_of) {
  std::string text;
  std::size_t count = 0;
  for (const auto& one : names) {
    if (++count > most_named) return text + " and " + std::to_string(names.size() - most_named) + " more";
    text += (text.empty() ? "" : ", ") + name_of(one);
  }
  return text;
}

}  // namespace

void Verbs::renew(ControlServer::Client client, const Json& request) {
  const bool all = flag_of(request, "all", false);
  const bool force = flag_of(request, "force", false);
  Waiting waiting;
  std::vector<std::string> left;
  std::string held;
  const auto leave = [&](const std::string& name, const std::string& why) {
    left.push_back(why);
    if (all) tell(client, "left_alone", name, why);
  };
  const auto ask = [&](const PlanUnion::Item& item) {
    const std::string& name = item.certificate.name;
    const IssuerSpec* const issuer = item.plan->issuer(item.certificate.issuers.front());
    if (all && issuer != nullptr && !issuer->orders) {
      return leave(name, name + ": the issuer " + issuer->name + " has order off; `evercert renew " + name + "` orders there");
    }
    const auto wished = leader_.renew(name, force);
    if (wished.keys > 0) {
      waiting.names.emplace(name, Waiting::Awaited{wished.keys, "", false, false, 0});
    } else if (wished.refused && wished.refused->fresh) {
      leave(name, wished.refused->why + " (--force overrides it)");
    } else if (wished.refused) {
      held = wished.refused->why;
      waiting.failed.emplace(name, held);
    }
  };
  if (all) {
    for (const auto& [name, item] : leader_.plans().items()) ask(item);
  } else {
    const auto* item = item_of(client, request);
    if (item == nullptr) return;
    ask(*item);
  }
  waiting.person = !held.empty();
  waiting.count = waiting.names.size() + waiting.failed.size();
  if (waiting.names.empty()) {
    if (!waiting.failed.empty()) return conclude(client, waiting);
    const std::string why = left.empty() ? "no certificate is configured"
                            : left.size() == 1
                                ? left.front()
                                : "of " + std::to_string(left.size()) + " certificates none is to be ordered now";
    return server_.finish(client, exit_done, "nothing to do: " + why);
  }
  tell(client, "waiting", "", still_waited_for(waiting));
  if (!flag_of(request, "wait", true)) {
    const std::string names = listed(waiting.names, [](const auto& one) { return one.first; });
    return server_.finish(client, exit_done,
                          "the agent orders " + names + " in the background; evercert status tells what becomes of it");
  }
  waiting_.emplace(client, std::move(waiting));
}

void Verbs::tell(ControlServer::Client client, const char* name, const std::string& certificate, const std::string& sentence) {
  Event event;
  event.name = name;
  event.at = context_.clock.now();
  event.certificate = certificate;
  event.sentence = sentence;
  server_.send(client, Json{{"event", event_json(event)}});
}

std::string Verbs::still_waited_for(const Waiting& waiting) {
  return "for " + listed(waiting.names, [](const auto& one) { return one.first; });
}

bool Verbs::ends(Waiting& waiting, const Event& event) const {
  const auto* item = leader_.plans().find(event.certificate);
  const bool own = item != nullptr && item->own;
  // Where nobody proves, publication is the end; where nothing is exported, nothing need be.
  const bool unproved = own && (!item->certificate.proof || item->certificate.proof_addresses.empty());
  const bool unexported = !own || context_.delivery.exports == nullptr;
  Waiting::Awaited& awaited = waiting.names.at(event.certificate);
  if (event.name == "published") {
    if (awaited.keys > 0) --awaited.keys;
    awaited.generation = field_of(event, "generation");
    awaited.served = awaited.exported = false;
  }
  const bool newest = awaited.keys == 0 && field_of(event, "generation") == awaited.generation;
  if (newest && event.name == "served") awaited.served = true;
  if (newest && event.name == "exported") awaited.exported = true;
  // The first tries come within three seconds: whatever is still in the way then may stay there.
  constexpr unsigned enough_tries = 3;
  if (newest && event.name == "export_failed") ++awaited.failed_exports;
  const bool done =
      awaited.keys == 0 && !awaited.generation.empty() && (awaited.served || unproved) && (awaited.exported || unexported);
  // It begins later, and is served then without anybody.
  const bool kept = event.name == "issued_not_valid_yet" || event.name == "issued_waits";
  const bool person = event.name == "action_required";
  // A CA that cannot be reached is tried again; whoever asked waits as long as they said.
  const bool failed = person || event.name == "not_served" || awaited.failed_exports >= enough_tries ||
                      (event.name == "renewal_failed" && field_of(event, "kind") != "connection");
  if (!done && !kept && !failed) return false;
  waiting.names.erase(event.certificate);
  if (failed) waiting.failed.emplace(event.certificate, event.sentence);
  waiting.person = waiting.person || person;
  waiting.last = event.sentence;
  return true;
}

void Verbs::conclude(ControlServer::Client client, const Waiting& waiting) {
  const int exit = waiting.failed.empty() ? exit_done : waiting.person ? exit_person : exit_failed;
  std::string message = waiting.failed.size() == 1 ? waiting.failed.begin()->second : waiting.last;
  if (waiting.count > 1) {
    message = std::to_string(waiting.count - waiting.failed.size()) + " of " + std::to_string(waiting.count) +
              " certificates were renewed";
    if (!waiting.failed.empty())
      message += "; not: " + listed(waiting.failed, [](const auto& one) { return one.first + " (" + one.second + ")"; });
  }
  render_();
  server_.finish(client, exit, message);
}

void Verbs::on_event(const Event& event) {
  if (event.certificate.empty()) return;
  cancelled(event);
  std::vector<ControlServer::Client> concerned;
  for (const auto& [client, waiting] : waiting_) {
    if (waiting.names.contains(event.certificate)) concerned.push_back(client);
  }
  for (const auto client : concerned) {
    server_.send(client, Json{{"event", event_json(event)}});
    const auto found = waiting_.find(client);
    if (found == waiting_.end()) continue;
    Waiting& waiting = found->second;
    if (!ends(waiting, event)) continue;
    if (waiting.names.empty()) {
      conclude(client, waiting);
    } else {
      tell(client, "waiting", "", still_waited_for(waiting));
    }
  }
}

}  // namespace evercert
