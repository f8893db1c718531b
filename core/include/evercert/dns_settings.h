// How DNS records are written and looked up, as the plan says it: name servers that take updates, a program that writes
// records, resolvers. Part of Plan and of each IssuerSpec; made by check() only.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "evercert/secret.h"

namespace evercert {

struct DnsServer {
  std::string address;  // IPv4 or IPv6, without brackets
  std::uint16_t port = 53;
  [[nodiscard]] std::string text() const;  // "192.0.2.1:53", "[2001:db8::1]:53"
  bool operator==(const DnsServer&) const = default;
};

struct TsigKey {          // RFC 8945
  std::string name;       // lower case, without trailing dot
  std::string algorithm;  // "hmac-sha256"
  Secret secret;          // base64, as key files hold it
};

// A name server that takes updates (RFC 2136), for one zone and all below it.
struct DnsUpdate {
  std::string zone;  // lower case, without trailing dot; empty: every zone
  DnsServer server;
  TsigKey key;
};

struct DnsSettings {
  std::vector<DnsUpdate> updates;
  std::string program;                    // asked for what no update covers; empty: none
  std::chrono::seconds propagation{120};  // how long a record may take to reach all name servers; zero: not waited for
  std::vector<DnsServer> resolvers;       // empty: the system's
  std::uint16_t port = 53;                // of authoritative name servers

  // The server for a name: the one with the longest zone that holds it, or nullptr.
  [[nodiscard]] const DnsUpdate* update_for(const std::string& name) const;
};

}  // namespace evercert
