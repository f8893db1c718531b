// Asks name servers and sends them updates: one message, one answer, deadlines on everything.
// Used by the DNS providers of challenges and by look-ups. Thread-safe: holds nothing.
#pragma once

#include <chrono>
#include <stop_token>
#include <string>

#include "agent/net/dns_message.h"

namespace evercert {

// The type of the problem of an Error for a server of an address family that this machine does not reach at all.
inline constexpr const char* no_route = "urn:evercert:error:noRoute";

struct DnsTiming {
  std::chrono::milliseconds per_try{2000};
  unsigned tries = 2;  // over UDP; TCP is asked once
  std::stop_token stop{};
};

// Over UDP, over TCP where the answer does not fit. Errors: dns, naming the server.
Result<DnsAnswer> ask_name_server(const DnsServer& server, const DnsQuestion& question, const DnsTiming& timing = {});

// Over TCP: an update must not be lost or doubled on the way. Errors: dns (network, key,
// policy or zone), each naming the server.
Result<Done> update_name_server(const DnsServer& server, const std::string& zone, DnsChange change, const DnsRecord& record,
                                const TsigKey& key, const DnsTiming& timing = {});

}  // namespace evercert
