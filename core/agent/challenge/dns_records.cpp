#include "agent/challenge/dns_records.h"

#include "serving/base/bounds.h"
#include "serving/base/encoding.h"

namespace evercert {
namespace {

constexpr std::chrono::milliseconds patience_per_look{2000};
constexpr const char* acme_label = "_acme-challenge.";

std::string key_of(const Challenge& challenge) {
  return std::string(to_string(challenge.kind)) + "\n" + challenge.identifier.value + "\n" + challenge.token + "\n" +
         challenge.answer;
}

std::string without_wildcard(const Identifier& identifier) {
  return identifier.is_wildcard() ? identifier.value.substr(2) : identifier.value;
}

}  // namespace

std::string dns_01_value(const std::string& key_authorization) {
  return to_base64url(sha256(bytes_of(key_authorization)));
}

DnsRecords::DnsRecords(DnsSettings settings, const Clock& clock, std::stop_token stop)
    : settings_(std::move(settings)), clock_(clock), stop_(stop), lookup_(settings_, {patience_per_look, 2, std::move(stop)}) {}

// The name and value as the CA wants them; where the name is an alias, the record goes where it leads (RFC 8555 section 8.4).
Result<DnsRecord> DnsRecords::record_for(const Challenge& challenge) const {
  DnsRecord record;
  record.type = DnsType::txt;
  if (challenge.kind != ChallengeKind::dns_01) {
    if (challenge.kind == ChallengeKind::dns_cname) record.type = DnsType::cname;
    record.name = challenge.token;
    record.value = challenge.answer;
    return record;
  }
  record.name = acme_label + without_wildcard(challenge.identifier);
  record.value = dns_01_value(challenge.answer);
  auto end = lookup_.end_of_aliases(record.name);
  if (!end) return end.error();
  record.name = std::move(end).value();
  return record;
}

Result<DnsProvider*> DnsRecords::provider_for(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (const DnsUpdate* update = settings_.update_for(name)) {
    auto& provider = by_update_[update];
    if (!provider) provider = make_update_provider(*update, settings_, stop_);
    return provider.get();
  }
  if (settings_.program.empty()) {
    return Error{ErrorKind::configuration, "no dns_update covers " + name + "; add one for its zone, or a dns_program"};
  }
  if (!program_) program_ = make_program_provider(settings_.program, stop_);
  return program_.get();
}

Result<Done> DnsRecords::present(const Challenge& challenge) {
  auto record = record_for(challenge);
  if (!record) return record.error();
  auto provider = provider_for(record->name);
  if (!provider) return provider.error();
  {
    // Known before it is written: what may be written must be taken away again.
    const std::lock_guard lock(mutex_);
    published_.insert_or_assign(key_of(challenge), Published{*record, clock_.now(), {}, false});
  }
  return (*provider)->add(*record);
}

Result<Done> DnsRecords::ask_missing(Published& published) const {
  if (!published.looked) {
    // An alias is no zone itself (RFC 1034 section 3.6.2), and what it leads to need not answer anybody.
    const std::string& name = published.record.name;
    const auto first_dot = name.find('.');
    const bool alias = published.record.type == DnsType::cname && first_dot != std::string::npos;
    auto zone = lookup_.zone_of(alias ? name.substr(first_dot + 1) : name, nullptr);
    if (!zone) return zone.error();
    auto servers = lookup_.authoritative_servers(*zone);
    if (!servers) return servers.error();
    published.missing = std::move(servers).value();
    published.looked = true;
  }
  while (!published.missing.empty()) {
    auto has = lookup_.server_has(published.missing.back(), published.record);
    const bool out_of_reach = !has && has.error().problem && has.error().problem->type == no_route;
    if (!has && !out_of_reach) return has.error();
    if (has && !*has) {
      return Error{ErrorKind::dns, "the name server " + published.missing.back().text() + " does not show the " +
                                       to_string(published.record.type) + " record " + published.record.name + " yet"};
    }
    published.missing.pop_back();
  }
  return Done{};
}

Result<bool> DnsRecords::visible(const Challenge& challenge) {
  if (settings_.propagation.count() == 0) return true;
  std::optional<Published> published;
  {
    const std::lock_guard lock(mutex_);
    const auto found = published_.find(key_of(challenge));
    if (found != published_.end()) published = found->second;
  }
  // Written by a process before this one.
  if (!published) {
    if (auto again = present(challenge); !again) return again.error();
    return false;
  }
  auto everywhere = ask_missing(*published);
  {
    const std::lock_guard lock(mutex_);
    published_.insert_or_assign(key_of(challenge), *published);
  }
  if (everywhere) return true;
  if (is_recent(published->at, clock_.now(), settings_.propagation)) return false;
  return everywhere.error().with_prefix("after " + std::to_string(settings_.propagation.count()) + " s");
}

Result<Done> DnsRecords::clean_up(const Challenge& challenge) {
  std::optional<DnsRecord> record;
  {
    const std::lock_guard lock(mutex_);
    const auto found = published_.find(key_of(challenge));
    if (found != published_.end()) record = found->second.record;
    published_.erase(key_of(challenge));
  }
  if (!record) {
    auto again = record_for(challenge);
    if (!again) return again.error();
    record = std::move(again).value();
  }
  auto provider = provider_for(record->name);
  if (!provider) return provider.error();
  return (*provider)->remove(*record);
}

}  // namespace evercert
