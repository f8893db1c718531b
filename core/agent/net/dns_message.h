// DNS messages (RFC 1035) in terms that the rest can use: the only place that knows the DNS library's types.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "evercert/dns_settings.h"
#include "evercert/result.h"

namespace evercert {

enum class DnsType { a, aaaa, ns, cname, soa, txt, caa };
const char* to_string(DnsType type);  // "TXT"

struct DnsRecord {
  std::string name;  // lower case, without trailing dot
  DnsType type = DnsType::txt;
  // TXT: the joined strings. CNAME, NS: a name as above. SOA: the primary's name. A, AAAA: the address as text. CAA: see Caa.
  std::string value;
  std::uint32_t ttl = 0;
};

struct DnsAnswer {
  int code = 0;  // RFC 1035 section 4.1.1, RFC 2136 section 2.2
  bool truncated = false;
  std::vector<DnsRecord> answer;  // of the types above
  std::vector<DnsRecord> authority;
};
inline constexpr int dns_no_such_name = 3;
// "REFUSED (5)".
std::string dns_code_text(int code);

struct DnsQuestion {
  std::string name;
  DnsType type = DnsType::a;
  bool recursion = true;
};

enum class DnsChange { add, remove };

// A message ready to be sent, with what is needed to know its answer.
struct DnsMessage {
  Bytes wire;
  std::uint16_t id = 0;
  Bytes mac;  // of a signed one
};

Result<DnsMessage> make_query(const DnsQuestion& question);
// One record added to, or exactly that one removed from, its zone (RFC 2136 sections 2.5.1 and 2.5.4); signed (RFC 8945).
Result<DnsMessage> make_update(const std::string& zone, DnsChange change, const DnsRecord& record, const TsigKey& key);

// Errors: dns, for what is no answer to that message.
Result<DnsAnswer> read_answer(const Bytes& wire, const DnsMessage& asked);
// Refuses an answer that is not signed with the key, and says what a refusal means for the operator.
Result<Done> read_update_answer(const Bytes& wire, const DnsMessage& asked, const TsigKey& key);

}  // namespace evercert
