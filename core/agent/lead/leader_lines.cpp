// What the leader knows of stored lines beyond its own certificates: what covers others, what came otherwise than by an order,
// and what nobody names.
#include <algorithm>

#include "agent/lead/leader.h"

namespace evercert {

bool Leader::take_cover(const CertificateSpec& certificate, const KeySpec& key) {
  for (const StoredLine& line : lines_.covering(certificate)) {
    const auto taken = publication_.cover(certificate, key.algorithm, line.name);
    if (!taken) context_.log.write(LogLevel::warn, taken.error().message);
    if (taken && *taken) return true;
  }
  return false;
}

// Where two certificates wait for each other's names, each has been issued: then they follow each other at once.
std::optional<std::string> Leader::lent(const CertificateSpec& certificate, const std::vector<Identifier>& fresh) {
  const auto has = [](const std::vector<Identifier>& names, const Identifier& one) {
    return std::find(names.begin(), names.end(), one) != names.end();
  };
  const auto current = publication_.current(certificate.name);
  const auto lifetime = current.lifetime();
  const bool worth_keeping = lifetime && !is_emergency(*lifetime, context_.clock.now()) && !current.revoked_at();
  std::optional<std::string> name;
  for (const Identifier& identifier : current.identifiers) {
    if (!worth_keeping || name || has(fresh, identifier)) continue;
    std::set<std::string> others;
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = wanted_by_.find(identifier); found != wanted_by_.end()) others = found->second;
    }
    others.erase(certificate.name);
    for (const std::string& other : others) {
      const auto there = publication_.current(other);
      const std::lock_guard lock(mutex_);
      const auto kept = kept_for_others_.find(other);
      const bool follows = kept != kept_for_others_.end() && has(kept->second, identifier);
      if (!has(there.identifiers, identifier) && !follows) name = identifier.value;
    }
  }
  const std::lock_guard lock(mutex_);
  if (name)
    kept_for_others_[certificate.name] = fresh;
  else
    kept_for_others_.erase(certificate.name);
  return name;
}

std::function<Result<std::string>()> Leader::adopting(Bundle bundle, bool named) {
  if (!named) bundle.name = lines_.line_for(bundle.identifiers, bundle.name);
  const auto* const item = plans_.find(bundle.name);
  CertificateSpec certificate;
  certificate.name = bundle.name;
  certificate.identifiers = bundle.identifiers;
  certificate.proof = false;
  if (item != nullptr) certificate = item->certificate;
  // Whoever waits for these names may need no order any more.
  std::vector<std::string> concerned;
  for (const auto& [name, one] : plans_.items()) {
    const auto& names = one.certificate.identifiers;
    if (std::find_first_of(names.begin(), names.end(), bundle.identifiers.begin(), bundle.identifiers.end()) != names.end())
      concerned.push_back(name);
  }
  return [this, bundle, certificate, concerned, is_named = item != nullptr]() -> Result<std::string> {
    auto generation = publication_.adopt(certificate, bundle);
    if (!generation) return generation.error();
    Event event;
    event.name = "imported";
    event.level = LogLevel::notice;
    event.certificate = certificate.name;
    event.sentence = certificate.name + " was taken over as generation " + std::to_string(*generation) +
                     (is_named ? "" : "; no configuration names it so far, the one that asks for its names will find it");
    event.fields = {{"generation", std::to_string(*generation)}};
    context_.events.tell(event);
    for (const std::string& name : concerned)
      for (const auto& renewal : renewals_of(name)) workers_->poke(renewal->job());
    return event.sentence;
  };
}

// Before anything is ordered: what an earlier client left at the state_path of an issuer, where nothing newer is stored.
void Leader::import_from_issuers() {
  for (const IssuerSpec& issuer : context_.plan->issuers) {
    if (issuer.import_path.empty()) continue;
    auto all = read_nginx_acme(issuer.import_path);
    if (!all) {
      context_.log.write(LogLevel::warn, "nothing is taken over for the issuer " + issuer.name + ": " + all.error().message);
      continue;
    }
    for (const Found& found : *all) {
      if (auto refused = import_one(found)) {
        context_.log.write(LogLevel::warn,
                           "the certificate " + found.label + " in " + issuer.import_path + " is not taken over: " + *refused);
      }
    }
  }
}

std::optional<std::string> Leader::import_one(const Found& found) {
  if (!found.pair) return found.pair.error().message;
  auto facts = leaf_facts(found.pair->leaf);
  if (!facts) return facts.error().message;
  const Time now = context_.clock.now();
  Bundle bundle;
  bundle.name = lines_.line_for(facts->identifiers, found.name);
  const std::set<Identifier> names(facts->identifiers.begin(), facts->identifiers.end());
  for (const CertificateSpec& certificate : context_.plan->certificates) {
    if (std::set<Identifier>(certificate.identifiers.begin(), certificate.identifiers.end()) == names)
      bundle.name = certificate.name;
  }
  const auto there = lines_.find(bundle.name);
  if (facts->not_after <= now || (there && there->not_after >= facts->not_after)) return std::nullopt;
  bundle.issuer = bundle.origin = "import";
  bundle.identifiers = facts->identifiers;
  bundle.issued_at = facts->not_before;
  bundle.pairs.push_back(*found.pair);
  auto adopted = adopting(std::move(bundle), true)();
  return adopted ? std::nullopt : std::optional(adopted.error().message);
}

void Leader::report_lines(StatusReport& report) {
  for (const StoredLine& line : lines_.all()) {
    if (plans_.find(line.name) != nullptr) continue;
    UnnamedLine unnamed{line.name, {}, line.issuer, line.generation, line.not_after, {}};
    for (const auto& identifier : line.identifiers) unnamed.identifiers.push_back(identifier.value);
    for (const auto& key : line.keys) unnamed.keys.push_back(key.text());
    report.unnamed.push_back(std::move(unnamed));
  }
}

}  // namespace evercert
