// Validation by DNS: ACME's DNS-01 (RFC 8555 section 8.4) and the records that other CAs ask for. Publishes through the
// provider that covers the name, and knows when all authoritative servers of its zone show the record.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/challenge/dns_provider.h"
#include "agent/challenge/solver.h"
#include "serving/base/clock.h"

namespace evercert {

class DnsRecords : public ChallengeSolver {
 public:
  DnsRecords(DnsSettings settings, const Clock& clock, std::stop_token stop);

  Result<Done> present(const Challenge& challenge) override;
  // Errors: dns, once the time for propagation is over, naming a server that does not have the record.
  Result<bool> visible(const Challenge& challenge) override;
  Result<Done> clean_up(const Challenge& challenge) override;

 private:
  struct Published {
    DnsRecord record;
    std::chrono::system_clock::time_point at;
    std::vector<DnsServer> missing;  // servers that did not have it yet; empty before the first look
    bool looked = false;
  };
  Result<DnsProvider*> provider_for(const std::string& name);
  Result<DnsRecord> record_for(const Challenge& challenge) const;
  Result<Done> ask_missing(Published& published) const;

  const DnsSettings settings_;
  const Clock& clock_;
  const std::stop_token stop_;
  const DnsLookup lookup_;
  std::mutex mutex_;  // guards what follows
  std::map<const DnsUpdate*, std::unique_ptr<DnsProvider>> by_update_;
  std::unique_ptr<DnsProvider> program_;
  std::map<std::string, Published> published_;  // by name and value asked for
};

// RFC 8555 section 8.4: base64url of the SHA-256 of the key authorization.
std::string dns_01_value(const std::string& key_authorization);

}  // namespace evercert
