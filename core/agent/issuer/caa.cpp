#include "agent/issuer/caa.h"

#include <algorithm>
#include <map>

#include "agent/net/dns_lookup.h"

namespace evercert {
namespace {

struct Property {
  bool critical = false;
  std::string tag;
  std::string value;
};

// RFC 8659 section 4.1: flags, length of the tag, tag, value.
std::optional<Property> property_of(const std::string& data) {
  constexpr unsigned critical_bit = 0x80;
  if (data.size() < 2) return std::nullopt;
  const auto size = static_cast<std::size_t>(static_cast<unsigned char>(data[1]));
  if (data.size() < 2 + size) return std::nullopt;
  Property property{(static_cast<unsigned char>(data[0]) & critical_bit) != 0, data.substr(2, size), data.substr(2 + size)};
  for (char& c : property.tag) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return property;
}

// "ca.example; account=1" is about ca.example.
std::string issuer_domain(const std::string& value) {
  std::string domain = value.substr(0, value.find(';'));
  const auto first = domain.find_first_not_of(" \t");
  const auto last = domain.find_last_not_of(" \t");
  domain = first == std::string::npos ? "" : domain.substr(first, last - first + 1);
  for (char& c : domain) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return domain;
}

// Names of one certificate share what is above them, so each name is looked up once.
class CaaLookup {
 public:
  CaaLookup(const DnsSettings& settings, const std::stop_token& stop)
      : lookup_(settings, {std::chrono::milliseconds(2000), 2, stop}) {}

  // The nearest records, at the name or above it (RFC 8659 section 3).
  std::vector<DnsRecord> relevant(std::string name) {
    while (!name.empty() && answers_) {
      const auto& records = at(name);
      if (!records.empty()) return records;
      const auto dot = name.find('.');
      name = dot == std::string::npos ? "" : name.substr(dot + 1);
    }
    return {};
  }

 private:
  const std::vector<DnsRecord>& at(const std::string& name) {
    const auto [known, fresh] = known_.try_emplace(name);
    if (!fresh) return known->second;
    auto answer = lookup_.resolve(name, DnsType::caa);
    // A hundred names must not wait a hundred times for a resolver that is silent.
    answers_ = answer.has_value();
    if (!answer) return known->second;
    for (const auto& record : answer->answer) {
      if (record.type == DnsType::caa) known->second.push_back(record);
    }
    return known->second;
  }

  const DnsLookup lookup_;
  std::map<std::string, std::vector<DnsRecord>> known_;
  bool answers_ = true;
};

}  // namespace

std::string caa_objection(const std::vector<DnsRecord>& records, bool wildcard, const std::vector<std::string>& identities) {
  std::vector<std::string> issue;
  std::vector<std::string> issue_wild;
  for (const auto& record : records) {
    const auto property = property_of(record.value);
    if (!property) continue;
    if (property->tag == "issue") {
      issue.push_back(issuer_domain(property->value));
    } else if (property->tag == "issuewild") {
      issue_wild.push_back(issuer_domain(property->value));
    } else if (property->critical && property->tag != "iodef") {
      return "hold the critical property \"" + property->tag + "\", which no CA may pass over";
    }
  }
  const auto& permitted = wildcard && !issue_wild.empty() ? issue_wild : issue;
  if (permitted.empty()) return "";
  std::string listed;
  for (const auto& domain : permitted) {
    if (std::find(identities.begin(), identities.end(), domain) != identities.end()) return "";
    if (!domain.empty()) listed += (listed.empty() ? "" : ", ") + domain;
  }
  return listed.empty() ? "permit no CA at all" : "permit only " + listed;
}

Result<Done> check_caa(const IssuerSpec& spec, const std::vector<std::string>& identities,
                       const std::vector<Identifier>& identifiers, const std::stop_token& stop) {
  if (identities.empty()) return Done{};
  CaaLookup lookup(spec.dns, stop);
  for (const auto& identifier : identifiers) {
    if (identifier.kind != IdentifierKind::dns) continue;
    const std::string name = identifier.is_wildcard() ? identifier.value.substr(2) : identifier.value;
    const auto records = lookup.relevant(name);
    const std::string why = caa_objection(records, identifier.is_wildcard(), identities);
    if (why.empty()) continue;
    auto problem = std::make_shared<const Problem>(Problem{"urn:ietf:params:acme:error:caa", why, "", {}});
    return Error{ErrorKind::challenge_failed,
                 "nothing was ordered from issuer " + spec.name + ": the CAA records of " + records.front().name + " " + why +
                     "; add one for " + identities.front(),
                 std::nullopt, problem};
  }
  return Done{};
}

}  // namespace evercert
