#include "agent/publish/publication.h"

#include <algorithm>

#include "agent/observe/remedies.h"
#include "agent/store/revoked_leaves.h"
#include "serving/base/bounds.h"
#include "serving/certificate/read_certificate.h"
#include "serving/config/identifier.h"
#include "serving/key/key_provider.h"

namespace evercert {
namespace {

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

bool wants(const CertificateSpec& certificate, KeyAlgorithm algorithm) {
  return std::any_of(certificate.keys.begin(), certificate.keys.end(),
                     [&](const KeySpec& key) { return key.algorithm == algorithm; });
}

}  // namespace

std::optional<Lifetime> Publication::Current::lifetime() const {
  if (pairs.empty()) return std::nullopt;
  // A kind of key that is not wanted any more stays until the next is published, and counts where there is no other.
  return std::min_element(pairs.begin(), pairs.end(),
                          [](const Pair& a, const Pair& b) {
                            return std::pair(!a.wanted, a.lifetime.not_after) < std::pair(!b.wanted, b.lifetime.not_after);
                          })
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
  fresh.published_at = bundle.issued_at;
  for (const auto& pair : bundle.pairs) {
    auto facts = leaf_facts(pair.leaf);
    if (!facts) continue;
    if (fresh.serial.empty()) {
      fresh.serial = facts->serial;
      fresh.identifiers = facts->identifiers;
    }
    fresh.pairs.push_back({pair.key,
                           {facts->not_before, facts->not_after},
                           facts->sha256,
                           facts->public_key,
                           covers_names(facts->identifiers, certificate.identifiers),
                           wants(certificate, pair.key.algorithm)});
  }
  const std::lock_guard lock(mutex_);
  if (entry.current.generation == fresh.generation) {
    fresh.served = entry.current.served;
    fresh.not_taken = entry.current.not_taken;
    fresh.not_served = entry.current.not_served;
    fresh.not_exported = entry.current.not_exported;
    fresh.hook_failed = entry.current.hook_failed;
    fresh.exported = entry.current.exported;
    fresh.stored = entry.current.stored;
    fresh.untold = entry.current.untold;
  }
  fresh.revoked = std::move(entry.current.revoked);
  entry.current = std::move(fresh);
}

std::uint64_t Publication::reached(const std::string& certificate) const {
  return parts_.reached == nullptr ? 0 : parts_.reached->of(certificate);
}

std::optional<std::uint64_t> Publication::missing(const std::string& certificate) const {
  const std::uint64_t highest = reached(certificate);
  return highest > current(certificate).generation ? std::optional(highest) : std::nullopt;
}

void Publication::keep_reached(const std::string& certificate, std::uint64_t generation, bool durable) {
  const bool leads = !parts_.proved;
  if (parts_.reached == nullptr || !leads) return;
  if (const auto kept = parts_.reached->raise(certificate, generation, durable); !kept)
    tell("storage_failed", LogLevel::error, certificate, kept.error().message, {});
}

std::optional<StatusProblem> Publication::compare_with_reached(const std::string& certificate, Entry& entry,
                                                               std::uint64_t generation) {
  const std::uint64_t highest = reached(certificate);
  if (highest <= generation) {
    entry.older_told = 0;
    if (highest < generation) keep_reached(certificate, generation, false);
    return std::nullopt;
  }
  const std::string sentence = older_generation_sentence(certificate, generation, highest);
  if (std::exchange(entry.older_told, highest) != highest)
    tell("older_generation", LogLevel::error, certificate, sentence,
         {{"generation", std::to_string(generation)}, {"reached", std::to_string(highest)}});
  return StatusProblem{"older_generation", sentence, parts_.clock.now(), ""};
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
    for (const auto& damage : newest->damaged) tell("bundle_damaged", LogLevel::error, certificate.name, damage.message, {});
    for (const auto& key : newest->foreign) {
      if (!place.foreign_told.insert(key).second) continue;
      tell("foreign_file", LogLevel::warn, certificate.name,
           key + " is none of ours: no generation has such a number; it is ignored, remove it", {{"file", key}});
    }
    problem = lost_generation(certificate.name, newest->bundle ? newest->bundle->generation : 0);
    if (newest->held) {
      problem = StatusProblem{to_string(newest->held->kind), newest->held->message, parts_.clock.now(), ""};
    }
    if (newest->bundle) {
      note(certificate, place, *newest->bundle);
      if (!problem && newest->damaged.empty())
        problem = compare_with_reached(certificate.name, place, newest->bundle->generation);
      if (!place.slot) {
        if (auto slot = parts_.board.add(certificate.name)) place.slot = *slot;
      }
      if (place.slot) parts_.board.publish(*place.slot, newest->bundle->generation);
    } else if (!newest->held && newest->damaged.empty() && !problem) {
      problem = compare_with_reached(certificate.name, place, 0);
    }
  }
  std::vector<RevokedLeaf> revoked;
  if (!std::exchange(place.revoked_read, true)) revoked = read_revoked_leaves(parts_.store, certificate.name);
  {
    const std::lock_guard lock(mutex_);
    if (problem) problem->remedy = remedy_for(newest && newest->held ? "held" : problem->kind);
    // It is the same one as long as it says the same.
    if (problem && place.current.stored && place.current.stored->message == problem->message) {
      problem->since = place.current.stored->since;
    }
    place.current.stored = problem;
    place.current.revoked.insert(place.current.revoked.end(), revoked.begin(), revoked.end());
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

void Publication::watch_file(const std::string& certificate) {
  Entry& place = entry(certificate);
  const std::lock_guard turn(place.one_at_a_time);
  const Current seen = current(certificate);
  if (seen.generation == 0 || seen.unreadable) return;
  const auto there = has_generation(parts_.store, certificate, seen.generation);
  if (!there) return;
  const std::uint64_t told = std::exchange(place.lost_told, *there ? 0 : seen.generation);
  if (*there) {
    const std::lock_guard lock(mutex_);
    if (told == seen.generation) place.current.stored.reset();
    return;
  }
  if (told == seen.generation) return;
  const std::string sentence = "generation " + std::to_string(seen.generation) + " of " + certificate +
                               " was removed from the disk: it is served from memory, and gone with the server's next start "
                               "or reload; find out by whom, then put it back from a backup, or `evercert renew " +
                               certificate + " --force` orders another";
  {
    const std::lock_guard lock(mutex_);
    place.current.stored =
        StatusProblem{"older_generation", sentence, parts_.clock.now(), remedy_for(std::string("older_generation"))};
  }
  tell("older_generation", LogLevel::error, certificate, sentence, {{"generation", std::to_string(seen.generation)}});
}

// What was damaged lies in quarantine: until something newer is published, the status says that it is older than it should be.
std::optional<StatusProblem> Publication::lost_generation(const std::string& certificate, std::uint64_t newest) const {
  const auto lost = highest_quarantined(parts_.store, certificate, newest + widest_generation_gap);
  if (!lost) return StatusProblem{to_string(ErrorKind::storage), lost.error().message, parts_.clock.now(), ""};
  if (*lost <= newest) return std::nullopt;
  return StatusProblem{
      to_string(ErrorKind::storage),
      "generation " + std::to_string(*lost) + " was damaged and lies in quarantine/; " +
          (newest == 0 ? "there is none before it" : "generation " + std::to_string(newest) + " is used in its place"),
      parts_.clock.now(), ""};
}

Result<std::uint64_t> Publication::put(const CertificateSpec& certificate, Bundle bundle, Entry& place, bool verified) {
  const Time now = parts_.clock.now();
  if (!place.slot) {
    auto slot = parts_.board.add(certificate.name);
    if (!slot) return slot.error();
    place.slot = *slot;
  }
  PublishOptions options;
  options.above = std::max(parts_.board.generation(*place.slot), reached(certificate.name));
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
  // After it is served: waiting for the disk is nobody's business who waits for the certificate.
  keep_reached(certificate.name, *generation, true);
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
      if (!wants(certificate, other.key.algorithm) || other.key.algorithm == bundle.pairs.front().key.algorithm) continue;
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
  const bool ordered = std::string_view(origin) == "order";
  if (const auto added = facts && ordered ? added_names(facts->identifiers, certificate.identifiers) : ""; !added.empty()) {
    tell("names_added", LogLevel::notice, certificate.name,
         "the CA put more into the certificate of " + certificate.name + " than was asked for, " + added,
         {{"generation", std::to_string(*generation)}});
  }
  return Done{};
}

Result<bool> Publication::cover(const CertificateSpec& certificate, KeyAlgorithm algorithm, const std::string& from) {
  auto newest = newest_bundle(parts_.store, parts_.serving, from);
  if (!newest) return newest.error();
  if (!newest->bundle || newest->held) return false;
  if (is_revoked(*newest->bundle, read_revoked_leaves(parts_.store, from))) return false;
  const Time now = parts_.clock.now();
  const auto own = current(certificate.name).lifetime();
  for (auto& pair : newest->bundle->pairs) {
    // Another kind of key will do until renewal is due, as long as no other key of the certificate asks for it.
    if (pair.key.algorithm != algorithm && wants(certificate, pair.key.algorithm)) continue;
    auto facts = leaf_facts(pair.leaf);
    if (!facts || !covers_names(facts->identifiers, certificate.identifiers)) continue;
    const Lifetime lifetime{facts->not_before, facts->not_after};
    if (due_time(lifetime, certificate.name, newest->bundle->generation) <= now) continue;
    if (own && own->not_after >= lifetime.not_after) continue;
    const std::string origin = "generation " + std::to_string(newest->bundle->generation) + " of " + from;
    auto published = publish(certificate, std::move(pair), newest->bundle->issuer, origin.c_str());
    if (!published) return published.error();
    tell("covered", LogLevel::notice, certificate.name,
         "nothing is ordered for " + certificate.name + ": the certificate of " + from +
             " has all its names and is valid until " + to_rfc3339(lifetime.not_after),
         {{"from", from}});
    return true;
  }
  return false;
}

Result<std::uint64_t> Publication::adopt(const CertificateSpec& certificate, Bundle bundle) {
  for (const BundlePair& pair : bundle.pairs)
    if (auto fresh = refuse_revoked(parts_.store, pair.leaf); !fresh) return fresh.error();
  Entry& place = entry(certificate.name);
  const std::lock_guard turn(place.one_at_a_time);
  return put(certificate, std::move(bundle), place, false);
}

Result<std::uint64_t> Publication::roll_back(const CertificateSpec& certificate, std::optional<std::uint64_t> to) {
  std::optional<std::uint64_t> generation;
  {
    Entry& place = entry(certificate.name);
    const std::lock_guard turn(place.one_at_a_time);
    PublishOptions options;
    options.above = reached(certificate.name);
    auto rolled = rollback(parts_.store, parts_.serving, certificate.name, to, parts_.clock.now(), options);
    if (!rolled) return rolled;
    generation = *rolled;
  }
  tell("rolled_back", LogLevel::notice, certificate.name,
       certificate.name + " was rolled back; the older certificate is now generation " + std::to_string(*generation),
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

void Publication::tell(const char* name, LogLevel level, const std::string& certificate, const std::string& sentence,
                       std::vector<std::pair<std::string, std::string>> fields) {
  Event event;
  event.name = name;
  event.level = level;
  event.at = parts_.clock.now();
  event.certificate = certificate;
  event.sentence = sentence;
  event.fields = std::move(fields);
  static constexpr std::string_view outcomes[] = {"served",        "not_served",   "exported",
                                                  "export_failed", "told_to_hook", "hook_failed"};
  if (parts_.proved && std::find(std::begin(outcomes), std::end(outcomes), event.name) != std::end(outcomes))
    parts_.proved(event);
  parts_.events.tell(std::move(event));
}

}  // namespace evercert
