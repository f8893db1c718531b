#include "agent/lead/plan_union.h"

#include <algorithm>
#include <set>

#include "serving/config/identifier.h"

namespace evercert {
namespace {

bool same_wish(const CertificateSpec& a, const CertificateSpec& b) {
  const std::set<Identifier> one(a.identifiers.begin(), a.identifiers.end());
  const std::set<Identifier> other(b.identifiers.begin(), b.identifiers.end());
  return one == other && a.issuers == b.issuers && a.keys == b.keys;
}

bool same_account(const Plan& a, const Plan& b, const CertificateSpec& certificate) {
  return std::all_of(certificate.issuers.begin(), certificate.issuers.end(), [&](const std::string& name) {
    const auto* one = a.issuer(name);
    const auto* other = b.issuer(name);
    return one != nullptr && other != nullptr && one->uri == other->uri && one->type == other->type;
  });
}

}  // namespace

PlanUnion::Change PlanUnion::put(PlanSource source) {
  const auto found = std::find_if(sources_.begin(), sources_.end(), [&](const PlanSource& one) { return one.id == source.id; });
  if (found == sources_.end()) {
    sources_.push_back(std::move(source));
  } else {
    *found = std::move(source);
  }
  return rebuild();
}

PlanUnion::Change PlanUnion::remove(const std::string& id) {
  std::erase_if(sources_, [&](const PlanSource& one) { return one.id == id; });
  return rebuild();
}

PlanUnion::Change PlanUnion::rebuild() {
  std::map<std::string, Item> fresh;
  Change change;
  for (const auto& source : sources_) {
    for (const auto& certificate : source.plan->certificates) {
      const auto claimed = fresh.find(certificate.name);
      if (claimed == fresh.end()) {
        Item item{certificate, source.id, source.plan, source.own};
        if (!source.own) item.certificate.proof_addresses.clear();
        fresh.emplace(certificate.name, std::move(item));
      } else if (!same_wish(claimed->second.certificate, certificate) ||
                 !same_account(*claimed->second.plan, *source.plan, certificate)) {
        change.conflicts.emplace_back(certificate.name, "the server " + source.server + " asks for " + certificate.name +
                                                            " with other names, keys or issuers than a server before it; the "
                                                            "first wish holds: make both alike, or give one of them "
                                                            "another name (name=)");
      }
    }
  }
  for (const auto& [name, item] : fresh) {
    const auto before = items_.find(name);
    if (before == items_.end()) {
      change.added.push_back(name);
    } else if (!same_wish(before->second.certificate, item.certificate) || before->second.plan != item.plan) {
      change.removed.push_back(name);
      change.added.push_back(name);
    }
  }
  for (const auto& [name, item] : items_) {
    if (!fresh.contains(name)) change.removed.push_back(name);
  }
  items_ = std::move(fresh);
  return change;
}

const PlanUnion::Item* PlanUnion::find(const std::string& certificate) const {
  const auto found = items_.find(certificate);
  return found == items_.end() ? nullptr : &found->second;
}

const PlanUnion::Item* PlanUnion::find_by_any_name(const std::string& name) const {
  if (const Item* const item = find(name)) return item;
  const auto identifier = parse_identifier(name);
  const Item* found = nullptr;
  for (const auto& [line, item] : items_) {
    const auto& names = item.certificate.identifiers;
    if (!identifier || std::find(names.begin(), names.end(), *identifier) == names.end()) continue;
    if (found != nullptr) return nullptr;
    found = &item;
  }
  return found;
}

std::vector<std::string> PlanUnion::servers() const {
  std::vector<std::string> names;
  for (const auto& source : sources_) {
    if (!source.own) names.push_back(source.server);
  }
  return names;
}

}  // namespace evercert
