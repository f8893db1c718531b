// Look-ups of our own: through resolvers, and at the authoritative servers of a zone, past every cache.
// Used by DNS validation and by the look at CAA records before an order. Thread-safe: holds settings only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/net/dns_client.h"

namespace evercert {

class DnsLookup {
 public:
  DnsLookup(const DnsSettings& settings, DnsTiming timing);

  // Asks the resolvers in turn until one answers; "no such name" is an answer. Errors: dns.
  [[nodiscard]] Result<DnsAnswer> resolve(const std::string& name, DnsType type) const;
  // Where CNAMEs lead from a name, at most eight of them: RFC 8555 section 8.4 validates there.
  [[nodiscard]] Result<std::string> end_of_aliases(const std::string& name) const;
  // The zone that holds a name: the nearest parent, or itself, with an SOA record. `at`: ask this server, else resolvers.
  [[nodiscard]] Result<std::string> zone_of(const std::string& name, const DnsServer* at) const;
  // The addresses of all name servers of a zone.
  [[nodiscard]] Result<std::vector<DnsServer>> authoritative_servers(const std::string& zone) const;
  [[nodiscard]] Result<bool> server_has(const DnsServer& server, const DnsRecord& record) const;

 private:
  std::vector<DnsServer> resolvers_;
  std::uint16_t port_;
  DnsTiming timing_;
};

// The name servers of resolv.conf(5); 127.0.0.1 where it names none.
std::vector<DnsServer> system_resolvers();

}  // namespace evercert
