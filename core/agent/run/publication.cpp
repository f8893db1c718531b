#include "agent/run/publication.h"

#include <algorithm>

#include "agent/run/proof.h"
#include "serving/base/bounds.h"
#include "serving/config/identifier.h"
#include "serving/key/key_provider.h"
#include "serving/publish/read_certificate.h"

namespace evercert {
namespace {

// A listener of the same machine answers in milliseconds; one that is busy gets the benefit of the doubt until the alarm.
constexpr std::chrono::milliseconds until_alarm{2000};
constexpr std::chrono::milliseconds one_probe{1000};

bool covers_names(std::vector<Identifier> covered, std::vector<Identifier> wanted) {
  std::sort(covered.begin(), covered.end());
  std::sort(wanted.begin(), wanted.end());
  return std::includes(covered.begin(), covered.end(), wanted.begin(), wanted.end());
}

// What the CA put in beside the names that were asked for; as a sentence's end, which holds names of a form that we take only.
std::string added_names(const std::vector<Identifier>& covered, const std::vector<Identifier>& wanted) {
  constexpr std::size_t listed_at_most = 5;
  std::size_t added = 0;
  std::string listed;
  for (const auto& identifier : covered) {
    if (std::find(wanted.begin(), wanted.end(), identifier) != wanted.end()) continue;
    if (++added > listed_at_most || !parse_identifier(identifier.value)) continue;
    listed += (listed.empty() ? ": " : ", ") + identifier.value;
  }
  return added == 0 ? "" : std::to_string(added) + (added == 1 ? " name" : " names") + listed;
}

struct Heard {
  std::string listener;   // the first that was asked
  std::string complaint;  // empty: every listener sends every leaf
};

Heard ask_listeners(const CertificateSpec& certificate, const std::vector<Publication::Current::Pair>& pairs) {
  Heard heard;
  const std::string& name = certificate.identifiers.front().value;
  for (const auto& address : certificate.proof_addresses) {
    for (const auto& pair : pairs) {
      auto outcome = prove(address, name, pair.key.algorithm, pair.leaf_sha256, one_probe);
      if (!outcome || !outcome->served) {
        heard.complaint = outcome ? outcome->message : outcome.error().message;
        return heard;
      }
      if (heard.listener.empty()) heard.listener = outcome->listener;
    }
  }
  return heard;
}

}  // namespace

std::optional<Lifetime> Publication::Current::lifetime() const {
  if (pairs.empty()) return std::nullopt;
  return std::min_element(pairs.begin(), pairs.end(),
                          [](const Pair& a, const Pair& b) { return a.lifetime.not_after < b.lifetime.not_after; })
      ->lifetime;
}

Publication::Entry& Publication::entry(const std::string& certificate) {
  const std::lock_guard lock(mutex_);
  auto& place = entries_[certificate];
  if (!place) place = std::make_unique<Entry>();
  return *place;
}

Publication::Current Publication::current(const std::string& certificate) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(certificate);
  return found == entries_.end() ? Current() : found->second->current;
}

void Publication::note(const CertificateSpec& certificate, Entry& entry, const Bundle& bundle) {
  Current fresh;
  fresh.generation = bundle.generation;
  fresh.issuer = bundle.issuer;
  fresh.identifiers = bundle.identifiers;
  fresh.published_at = bundle.issued_at;
  for (const auto& pair : bundle.pairs) {
    auto facts = leaf_facts(pair.leaf);
    if (!facts) continue;
    if (fresh.serial.empty()) fresh.serial = facts->serial;
    fresh.pairs.push_back({pair.key,
                           {facts->not_before, facts->not_after},
                           facts->sha256,
                           facts->public_key,
                           covers_names(facts->identifiers, certificate.identifiers)});
  }
  const std::lock_guard lock(mutex_);
  if (entry.current.generation == fresh.generation) {
    fresh.served = entry.current.served;
    fresh.not_served = entry.current.not_served;
    fresh.problem = entry.current.problem;
    fresh.untold = entry.current.untold;
  }
  entry.current = std::move(fresh);
}

Publication::Current Publication::look(const CertificateSpec& certificate, bool prove) {
  Entry& place = entry(certificate.name);
  const std::lock_guard turn(place.one_at_a_time);
  const std::uint64_t before = current(certificate.name).generation;
  auto newest = newest_bundle(parts_.store, parts_.serving, certificate.name);
  std::optional<StatusProblem> problem;
  if (!newest) {
    problem = StatusProblem{to_string(newest.error().kind), newest.error().message, parts_.clock.now(), ""};
  } else {
    for (const auto& damage : newest->damaged) {
      tell("bundle_damaged", LogLevel::error, certificate.name, damage.message, {});
      problem = StatusProblem{to_string(ErrorKind::storage), "a bundle was damaged: " + damage.message, parts_.clock.now(), ""};
    }
    for (const auto& key : newest->foreign) {
      if (!place.foreign_told.insert(key).second) continue;
      tell("foreign_file", LogLevel::warn, certificate.name,
           key + " is none of ours: no generation has such a number; it is ignored, remove it", {{"file", key}});
    }
    if (newest->held) {
      problem = StatusProblem{to_string(newest->held->kind), newest->held->message, parts_.clock.now(), ""};
    }
    if (newest->bundle) {
      note(certificate, place, *newest->bundle);
      if (!place.slot) {
        if (auto slot = parts_.board.add(certificate.name)) place.slot = *slot;
      }
      if (place.slot) parts_.board.publish(*place.slot, newest->bundle->generation);
    }
  }
  {
    const std::lock_guard lock(mutex_);
    if (problem) problem->remedy = remedy_for(problem->kind);
    if (problem) place.current.problem = problem;
    place.current.held = newest && newest->held.has_value();
    place.current.unreadable = !newest;
  }
  auto seen = current(certificate.name);
  if (prove && newest && newest->bundle) {
    // What was issued this minute and is new to us has just been published, by a leader or by an agent before us.
    const bool fresh = seen.generation != before && parts_.clock.now() - seen.published_at < std::chrono::minutes(1);
    show(certificate, *newest->bundle, fresh);
  }
  return seen;
}

Result<std::uint64_t> Publication::put(const CertificateSpec& certificate, Bundle bundle, Entry& place, bool verified) {
  const Time now = parts_.clock.now();
  if (!place.slot) {
    auto slot = parts_.board.add(certificate.name);
    if (!slot) return slot.error();
    place.slot = *slot;
  }
  PublishOptions options;
  options.above = parts_.board.generation(*place.slot);
  options.verified = verified;
  options.committed = [&](std::uint64_t number) { parts_.board.publish(*place.slot, number); };
  auto generation = publish_bundle(parts_.store, parts_.serving, bundle, now, options);
  if (!generation) return generation;
  bundle.generation = *generation;
  note(certificate, place, bundle);
  tell("published", LogLevel::notice, certificate.name,
       "generation " + std::to_string(*generation) + " of " + certificate.name + " is published",
       {{"generation", std::to_string(*generation)}});
  parts_.installed(certificate.name);
  show(certificate, bundle, true);
  std::optional<Early> early;
  {
    const std::lock_guard lock(mutex_);
    early.swap(place.early);
  }
  if (early) proved_elsewhere(certificate.name, early->generation, early->listener, early->served, early->message);
  return generation;
}

Result<Done> Publication::publish(const CertificateSpec& certificate, BundlePair pair, const std::string& issuer,
                                  const char* origin) {
  Entry& place = entry(certificate.name);
  const std::lock_guard turn(place.one_at_a_time);
  const Time now = parts_.clock.now();
  auto newest = newest_bundle(parts_.store, parts_.serving, certificate.name);
  if (!newest) return newest.error();
  if (newest->held) return *newest->held;

  const Bytes leaf = pair.leaf;
  Bundle bundle;
  bundle.name = certificate.name;
  bundle.issuer = issuer;
  bundle.identifiers = certificate.identifiers;
  bundle.issued_at = now;
  bundle.origin = origin;
  bundle.pairs.push_back(std::move(pair));
  // Alone first: when the CA sent something else than was asked for, another try of the same will not help.
  if (auto sound = verify_bundle(bundle, now); !sound) {
    return Error{ErrorKind::issuer_refused, "the issued certificate cannot be used: " + sound.error().message};
  }
  if (newest->bundle) {
    for (auto& other : newest->bundle->pairs) {
      const bool wanted = std::any_of(certificate.keys.begin(), certificate.keys.end(), [&](const KeySpec& key) {
        return key.algorithm == other.key.algorithm && key.algorithm != bundle.pairs.front().key.algorithm;
      });
      if (!wanted) continue;
      auto facts = leaf_facts(other.leaf);
      if (!facts || facts->not_after <= now) continue;
      bundle.pairs.push_back(std::move(other));
      if (!verify_bundle(bundle, now)) bundle.pairs.pop_back();
    }
    // The order of the configuration, whatever was issued first.
    std::sort(bundle.pairs.begin(), bundle.pairs.end(), [&](const BundlePair& a, const BundlePair& b) {
      const auto rank = [&](const BundlePair& one) {
        return std::find_if(certificate.keys.begin(), certificate.keys.end(),
                            [&](const KeySpec& key) { return key.algorithm == one.key.algorithm; }) -
               certificate.keys.begin();
      };
      return rank(a) < rank(b);
    });
  }
  const auto facts = leaf_facts(leaf);
  auto generation = put(certificate, std::move(bundle), place, true);
  if (!generation) return generation.error();
  if (const auto added = facts ? added_names(facts->identifiers, certificate.identifiers) : ""; !added.empty()) {
    tell("names_added", LogLevel::notice, certificate.name,
         "the CA put more into the certificate of " + certificate.name + " than was asked for, " + added,
         {{"generation", std::to_string(*generation)}});
  }
  return Done{};
}

Result<std::uint64_t> Publication::adopt(const CertificateSpec& certificate, Bundle bundle) {
  Entry& place = entry(certificate.name);
  const std::lock_guard turn(place.one_at_a_time);
  return put(certificate, std::move(bundle), place, false);
}

Result<std::uint64_t> Publication::roll_back(const CertificateSpec& certificate, std::optional<std::uint64_t> to) {
  std::optional<std::uint64_t> generation;
  {
    Entry& place = entry(certificate.name);
    const std::lock_guard turn(place.one_at_a_time);
    auto rolled = rollback(parts_.store, parts_.serving, certificate.name, to, parts_.clock.now());
    if (!rolled) return rolled;
    generation = *rolled;
  }
  tell("rolled_back", LogLevel::notice, certificate.name,
       certificate.name + " was rolled back; the older certificate is generation " + std::to_string(*generation) + " now",
       {{"generation", std::to_string(*generation)}});
  look(certificate, true);
  parts_.installed(certificate.name);
  return *generation;
}

bool Publication::holds_key_of(const OrderRecord& record) const {
  const BytesView key = public_key_in_request(record.request);
  const Current known = current(record.certificate);
  return !key.empty() && std::any_of(known.pairs.begin(), known.pairs.end(),
                                     [&](const Current::Pair& pair) { return std::ranges::equal(pair.public_key, key); });
}

// --- proof ---

void Publication::show(const CertificateSpec& certificate, const Bundle& bundle, bool fresh) {
  const std::uint64_t generation = bundle.generation;
  if (fresh) {
    const std::lock_guard lock(mutex_);
    entries_.at(certificate.name)->current.untold = true;
  }
  if (parts_.outlet == nullptr) return prove_later(certificate, generation, fresh);
  // Whatever came of it: the listeners have the last word.
  parts_.outlet->give(certificate, bundle,
                      [this, certificate, generation, fresh, alive = std::weak_ptr<bool>(alive_)](const Result<Done>&) {
                        if (!alive.expired()) prove_later(certificate, generation, fresh);
                      });
}

void Publication::prove_later(const CertificateSpec& certificate, std::uint64_t generation, bool fresh) {
  if (!certificate.proof || certificate.proof_addresses.empty()) return;
  constexpr double before_orders = 0;
  parts_.workers.add("proof of " + certificate.name, before_orders, parts_.clock.now(),
                     [this, certificate, generation, fresh, begun = parts_.clock.now()] {
                       return prove_once(certificate, generation, fresh, begun);
                     });
}

Workers::Again Publication::prove_once(const CertificateSpec& certificate, std::uint64_t generation, bool fresh, Time begun) {
  const Current known = current(certificate.name);
  if (known.generation != generation) return {std::nullopt, true};
  const auto [listener, complaint] = ask_listeners(certificate, known.pairs);
  const Time now = parts_.clock.now();
  const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(now - known.published_at);
  if (complaint.empty()) {
    {
      const std::lock_guard lock(mutex_);
      Current& place = entries_.at(certificate.name)->current;
      if (place.generation != generation) return {std::nullopt, true};
      place.served = CertificateStatus::Served{generation, now, listener};
      place.not_served = false;
      place.untold = false;
      place.problem.reset();
    }
    if (fresh || known.untold || known.not_served) {
      tell("served", LogLevel::notice, certificate.name,
           certificate.name + " is served by " + listener + ", generation " + std::to_string(generation),
           {{"generation", std::to_string(generation)},
            {"listener", listener},
            {"milliseconds", std::to_string(std::max<std::int64_t>(passed.count(), 0))}});
    } else if (parts_.changed) {
      parts_.changed();
    }
    return {std::nullopt, true};
  }
  if (is_recent(begun, now, until_alarm)) {
    const auto pause =
        std::clamp<std::chrono::milliseconds>(std::chrono::duration_cast<std::chrono::milliseconds>(now - begun) / 2,
                                              std::chrono::milliseconds(3), std::chrono::milliseconds(200));
    return {now + pause};
  }
  if (!known.not_served) {
    const StatusProblem problem{"not_served", "issued but not served: " + complaint, now,
                                "Reload the server, or set proof_address to a listener that serves this name."};
    {
      const std::lock_guard lock(mutex_);
      Current& place = entries_.at(certificate.name)->current;
      place.not_served = true;
      place.problem = problem;
    }
    tell("not_served", LogLevel::error, certificate.name, certificate.name + " is issued but not served: " + complaint,
         {{"generation", std::to_string(generation)}, {"message", complaint}});
  }
  return {now + std::chrono::seconds(30)};
}

void Publication::proved_elsewhere(const std::string& certificate, std::uint64_t generation, const std::string& listener,
                                   bool served, const std::string& message) {
  const Time now = parts_.clock.now();
  std::int64_t passed = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(certificate);
    if (found == entries_.end()) return;
    Current& place = found->second->current;
    // A follower needs only the committed file, and may be faster than we are.
    if (place.generation < generation) found->second->early = Early{generation, listener, served, message};
    if (place.generation != generation) return;
    passed = std::chrono::duration_cast<std::chrono::milliseconds>(now - place.published_at).count();
    if (served) {
      place.served = CertificateStatus::Served{generation, now, listener};
      place.not_served = false;
      place.problem.reset();
    } else {
      place.not_served = true;
      place.problem = StatusProblem{"not_served", "issued but not served: " + message, now, remedy_for("not_served")};
    }
  }
  tell(served ? "served" : "not_served", served ? LogLevel::notice : LogLevel::error, certificate,
       served ? certificate + " is served by " + listener : certificate + " is issued but not served: " + message,
       {{"generation", std::to_string(generation)}, {"listener", listener}, {"milliseconds", std::to_string(passed)}});
}

void Publication::tell(const char* name, LogLevel level, const std::string& certificate, const std::string& sentence,
                       std::vector<std::pair<std::string, std::string>> fields) {
  Event event;
  event.name = name;
  event.level = level;
  event.at = parts_.clock.now();
  event.certificate = certificate;
  event.sentence = sentence;
  event.fields = std::move(fields);
  if (parts_.proved && (event.name == "served" || event.name == "not_served")) parts_.proved(event);
  parts_.events.tell(std::move(event));
}

}  // namespace evercert
