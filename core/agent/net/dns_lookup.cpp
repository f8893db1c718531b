#include "agent/net/dns_lookup.h"

#include <fcntl.h>

#include <algorithm>
#include <sstream>

#include "serving/platform/files.h"

namespace evercert {
namespace {

constexpr unsigned longest_alias_chain = 8;

std::string parent_of(const std::string& name) {
  const auto dot = name.find('.');
  return dot == std::string::npos ? "" : name.substr(dot + 1);
}

const DnsRecord* find(const std::vector<DnsRecord>& records, DnsType type, const std::string& name) {
  const auto found = std::find_if(records.begin(), records.end(),
                                  [&](const DnsRecord& record) { return record.type == type && record.name == name; });
  return found == records.end() ? nullptr : &*found;
}

}  // namespace

std::vector<DnsServer> system_resolvers() {
  std::vector<DnsServer> servers;
  const auto content = read_file(AT_FDCWD, "/etc/resolv.conf", largest_resolver_file);
  if (content && *content) {
    std::istringstream lines(std::string((*content)->begin(), (*content)->end()));
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string word;
      std::string address;
      if (words >> word >> address && word == "nameserver") servers.push_back({address.substr(0, address.find('%'))});
    }
  }
  if (servers.empty()) servers.push_back({"127.0.0.1"});
  return servers;
}

DnsLookup::DnsLookup(const DnsSettings& settings, DnsTiming timing)
    : resolvers_(settings.resolvers.empty() ? system_resolvers() : settings.resolvers),
      port_(settings.port),
      timing_(std::move(timing)) {}

Result<DnsAnswer> DnsLookup::resolve(const std::string& name, DnsType type) const {
  Result<DnsAnswer> answer = Error{ErrorKind::dns, "there is no resolver to ask"};
  for (const auto& server : resolvers_) {
    answer = ask_name_server(server, {name, type, true}, timing_);
    if (answer && (answer->code == 0 || answer->code == dns_no_such_name)) return answer;
  }
  if (!answer) return answer;
  return Error{ErrorKind::dns, "the " + std::string(to_string(type)) + " records of " + name +
                                   " could not be looked up: the resolver answered " + dns_code_text(answer->code)};
}

Result<std::string> DnsLookup::end_of_aliases(const std::string& name) const {
  auto answer = resolve(name, DnsType::cname);
  if (!answer) return answer.error();
  std::string end = name;
  for (unsigned step = 0; step < longest_alias_chain; ++step) {
    const DnsRecord* alias = find(answer->answer, DnsType::cname, end);
    if (alias == nullptr) return end;
    end = alias->value;
    answer = resolve(end, DnsType::cname);
    if (!answer) return answer.error();
  }
  return Error{ErrorKind::issuer_refused, name + " is an alias of an alias, more than " + std::to_string(longest_alias_chain) +
                                              " deep or in a circle; correct its CNAME records"};
}

Result<std::string> DnsLookup::zone_of(const std::string& name, const DnsServer* at) const {
  for (std::string zone = name; !zone.empty(); zone = parent_of(zone)) {
    auto answer = at == nullptr ? resolve(zone, DnsType::soa) : ask_name_server(*at, {zone, DnsType::soa, false}, timing_);
    if (!answer) return answer.error();
    if (find(answer->answer, DnsType::soa, zone) != nullptr) return zone;
    // The authority section names the zone that says there is nothing here.
    for (const auto& record : answer->authority) {
      const bool above = record.name == zone || zone.ends_with("." + record.name);
      if (record.type == DnsType::soa && above && !record.name.empty() && record.name != ".") return record.name;
    }
  }
  return Error{ErrorKind::dns, (at == nullptr ? "no zone was found that holds " + name
                                              : "the name server " + at->text() + " has no zone that holds " + name)};
}

Result<std::vector<DnsServer>> DnsLookup::authoritative_servers(const std::string& zone) const {
  auto names = resolve(zone, DnsType::ns);
  if (!names) return names.error();
  std::vector<DnsServer> servers;
  for (const auto& record : names->answer) {
    if (record.type != DnsType::ns) continue;
    for (const auto type : {DnsType::a, DnsType::aaaa}) {
      auto addresses = resolve(record.value, type);
      if (!addresses) return addresses.error();
      for (const auto& address : addresses->answer) {
        const DnsServer server{address.value, port_};
        if (address.type == type && std::find(servers.begin(), servers.end(), server) == servers.end())
          servers.push_back(server);
      }
    }
  }
  if (servers.empty()) return Error{ErrorKind::dns, "the name servers of the zone " + zone + " could not be found"};
  return servers;
}

Result<bool> DnsLookup::server_has(const DnsServer& server, const DnsRecord& record) const {
  auto answer = ask_name_server(server, {record.name, record.type, false}, timing_);
  if (!answer) return answer.error();
  return std::any_of(answer->answer.begin(), answer->answer.end(), [&](const DnsRecord& one) {
    return one.type == record.type && one.name == record.name && one.value == record.value;
  });
}

}  // namespace evercert
