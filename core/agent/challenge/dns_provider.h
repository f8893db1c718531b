// DnsProvider: who writes records into a zone. One implementation per way of writing; used by the DNS solver only.
// Rule: a value is added beside what is there and only that value is removed; others share the name (SPF, other orders).
#pragma once

#include <chrono>
#include <memory>
#include <stop_token>

#include "agent/net/dns_lookup.h"

namespace evercert {

class DnsProvider {
 public:
  virtual ~DnsProvider() = default;
  // Both idempotent. They return once the record is written, not once everybody sees it.
  virtual Result<Done> add(const DnsRecord& record) = 0;
  virtual Result<Done> remove(const DnsRecord& record) = 0;
};

// By dynamic updates (RFC 2136) signed with TSIG (RFC 8945); the zone of a name is asked of the server itself.
std::unique_ptr<DnsProvider> make_update_provider(const DnsUpdate& update, const DnsSettings& settings, std::stop_token stop);

// By a program of the operator's own: PROGRAM add|remove TXT|CNAME NAME VALUE. Status 0 means that it is written; what the
// program prints last becomes part of the error. It runs as the agent's user, with PATH alone in its environment, for
// `longest_run` at most: then, and once a stop is asked for, it is killed with what it started, however much it talks.
std::unique_ptr<DnsProvider> make_program_provider(const std::string& program, std::stop_token stop,
                                                   std::chrono::milliseconds longest_run = std::chrono::seconds(60));

}  // namespace evercert
