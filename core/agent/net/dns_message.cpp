#include "agent/net/dns_message.h"

#include <arpa/inet.h>
#include <ldns/ldns.h>

#include <algorithm>
#include <array>
#include <memory>

namespace evercert {
namespace {

template <auto release>
struct LdnsRelease {
  template <typename Object>
  void operator()(Object* object) const noexcept {
    release(object);
  }
};
void release_bytes(std::uint8_t* bytes) {
  free(bytes);
}
void release_text(char* text) {
  free(text);
}
using PacketHandle = std::unique_ptr<ldns_pkt, LdnsRelease<ldns_pkt_free>>;
using RecordHandle = std::unique_ptr<ldns_rr, LdnsRelease<ldns_rr_free>>;
using RecordsHandle = std::unique_ptr<ldns_rr_list, LdnsRelease<ldns_rr_list_deep_free>>;
using DataHandle = std::unique_ptr<ldns_rdf, LdnsRelease<ldns_rdf_deep_free>>;
using WireHandle = std::unique_ptr<std::uint8_t, LdnsRelease<release_bytes>>;
using TextHandle = std::unique_ptr<char, LdnsRelease<release_text>>;

constexpr std::uint16_t allowed_skew = 300;       // seconds, RFC 8945 section 10
constexpr std::uint16_t largest_over_udp = 1232;  // fits every path without fragments
constexpr std::size_t longest_string = 255;       // RFC 1035 section 3.3.14
constexpr std::uint32_t record_lifetime = 60;     // seconds; a validation record is short-lived

constexpr std::array<std::pair<DnsType, ldns_rr_type>, 7> types{{{DnsType::a, LDNS_RR_TYPE_A},
                                                                 {DnsType::aaaa, LDNS_RR_TYPE_AAAA},
                                                                 {DnsType::ns, LDNS_RR_TYPE_NS},
                                                                 {DnsType::cname, LDNS_RR_TYPE_CNAME},
                                                                 {DnsType::soa, LDNS_RR_TYPE_SOA},
                                                                 {DnsType::txt, LDNS_RR_TYPE_TXT},
                                                                 {DnsType::caa, LDNS_RR_TYPE_CAA}}};

ldns_rr_type ldns_type(DnsType type) {
  for (const auto& [ours, theirs] : types) {
    if (ours == type) return theirs;
  }
  return LDNS_RR_TYPE_A;
}

Error unusable(const std::string& why) {
  return {ErrorKind::dns, why};
}

DataHandle name_data(const std::string& name) {
  return DataHandle(ldns_dname_new_frm_str((name + ".").c_str()));
}

std::string name_of(const ldns_rdf* data) {
  const TextHandle text(ldns_rdf2str(data));
  std::string name = text ? text.get() : "";
  while (name.size() > 1 && name.back() == '.') name.pop_back();
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return name;
}

Bytes data_of(const ldns_rr* record) {
  Bytes bytes;
  for (std::size_t i = 0; i < ldns_rr_rd_count(record); ++i) {
    const ldns_rdf* part = ldns_rr_rdf(record, i);
    const auto* data = ldns_rdf_data(part);
    bytes.insert(bytes.end(), data, data + ldns_rdf_size(part));
  }
  return bytes;
}

std::string joined_strings(const Bytes& data) {
  std::string text;
  for (std::size_t at = 0; at < data.size();) {
    const std::size_t size = std::min<std::size_t>(data[at], data.size() - at - 1);
    text.append(reinterpret_cast<const char*>(data.data()) + at + 1, size);
    at += 1 + size;
  }
  return text;
}

std::string value_of(const ldns_rr* record, DnsType type) {
  std::array<char, INET6_ADDRSTRLEN> address{};
  const Bytes data = data_of(record);
  switch (type) {
    case DnsType::a:
      return data.size() == 4 && inet_ntop(AF_INET, data.data(), address.data(), address.size()) ? address.data() : "";
    case DnsType::aaaa:
      return data.size() == 16 && inet_ntop(AF_INET6, data.data(), address.data(), address.size()) ? address.data() : "";
    case DnsType::ns:
    case DnsType::cname:
    case DnsType::soa:
      return ldns_rr_rd_count(record) > 0 ? name_of(ldns_rr_rdf(record, 0)) : "";
    case DnsType::txt:
      return joined_strings(data);
    case DnsType::caa:
      return {data.begin(), data.end()};
  }
  return "";
}

std::vector<DnsRecord> records_of(const ldns_rr_list* list) {
  std::vector<DnsRecord> records;
  for (std::size_t i = 0; list != nullptr && i < ldns_rr_list_rr_count(list); ++i) {
    const ldns_rr* record = ldns_rr_list_rr(list, i);
    const auto known =
        std::find_if(types.begin(), types.end(), [&](const auto& pair) { return pair.second == ldns_rr_get_type(record); });
    if (known == types.end()) continue;
    records.push_back({name_of(ldns_rr_owner(record)), known->first, value_of(record, known->first), ldns_rr_ttl(record)});
  }
  return records;
}

Result<DnsMessage> to_wire(ldns_pkt* packet) {
  std::uint8_t* bytes = nullptr;
  std::size_t size = 0;
  if (ldns_pkt2wire(&bytes, packet, &size) != LDNS_STATUS_OK) {
    return Error{ErrorKind::internal, "a DNS message could not be made"};
  }
  const WireHandle owned(bytes);
  return DnsMessage{{bytes, bytes + size}, ldns_pkt_id(packet), {}};
}

Result<PacketHandle> parse(const Bytes& wire, const DnsMessage& asked) {
  ldns_pkt* raw = nullptr;
  const auto status = ldns_wire2pkt(&raw, wire.data(), wire.size());
  PacketHandle packet(raw);
  if (status != LDNS_STATUS_OK || !packet) return unusable("its answer is no DNS message");
  if (!ldns_pkt_qr(packet.get()) || ldns_pkt_id(packet.get()) != asked.id) {
    return unusable("its answer belongs to another question");
  }
  return packet;
}

// TXT data as strings of at most 255 bytes each, or the name that a CNAME points at.
Result<RecordHandle> make_record(const DnsRecord& wanted, ldns_rr_class of_class, std::uint32_t ttl) {
  RecordHandle record(ldns_rr_new());
  DataHandle owner = name_data(wanted.name);
  if (!record || !owner) return Error{ErrorKind::internal, "\"" + wanted.name + "\" cannot be a DNS name"};
  ldns_rr_set_owner(record.get(), owner.release());
  ldns_rr_set_type(record.get(), ldns_type(wanted.type));
  ldns_rr_set_class(record.get(), of_class);
  ldns_rr_set_ttl(record.get(), ttl);
  if (wanted.type == DnsType::cname) {
    DataHandle target = name_data(wanted.value);
    if (!target) return Error{ErrorKind::internal, "\"" + wanted.value + "\" cannot be a DNS name"};
    ldns_rr_push_rdf(record.get(), target.release());
    return record;
  }
  for (std::size_t at = 0; at == 0 || at < wanted.value.size(); at += longest_string) {
    const std::string part = wanted.value.substr(at, longest_string);
    std::string string(1, static_cast<char>(part.size()));
    string += part;
    DataHandle data(ldns_rdf_new_frm_data(LDNS_RDF_TYPE_STR, string.size(), string.data()));
    if (!data) return Error{ErrorKind::internal, "there is no memory for a DNS record"};
    ldns_rr_push_rdf(record.get(), data.release());
  }
  return record;
}

std::uint16_t tsig_error(const ldns_rr* tsig) {
  constexpr std::size_t error_field = 5;
  return tsig != nullptr && ldns_rr_rd_count(tsig) > error_field ? ldns_rdf2native_int16(ldns_rr_rdf(tsig, error_field)) : 0;
}

// RFC 8945 section 5.3.2: these answers cannot be signed; they are believed as refusals only.
std::string key_trouble(std::uint16_t error, const TsigKey& key) {
  switch (error) {
    case 16:
      return "the secret of the key \"" + key.name + "\" is not the server's (BADSIG); copy the key file anew";
    case 17:
      return "it knows no key \"" + key.name + "\" with " + key.algorithm + " (BADKEY); check the key's name and algorithm";
    case 18:
      return "its clock and ours differ by more than five minutes (BADTIME); set both by NTP";
    default:
      return "";
  }
}

std::string code_trouble(int code) {
  switch (code) {
    case 4:
      return "it takes no updates; allow them in its configuration";
    case 5:
      return "its update policy does not let this key write this record; grant it the name";
    case 9:
      return "it is not authoritative for the zone, or does not take the key there";
    case 10:
      return "the name is not in the zone";
    default:
      return "";
  }
}

}  // namespace

const char* to_string(DnsType type) {
  switch (type) {
    case DnsType::a:
      return "A";
    case DnsType::aaaa:
      return "AAAA";
    case DnsType::ns:
      return "NS";
    case DnsType::cname:
      return "CNAME";
    case DnsType::soa:
      return "SOA";
    case DnsType::txt:
      return "TXT";
    case DnsType::caa:
      return "CAA";
  }
  return "";
}

std::string dns_code_text(int code) {
  const TextHandle name(ldns_pkt_rcode2str(static_cast<ldns_pkt_rcode>(code)));
  return std::string(name ? name.get() : "code") + " (" + std::to_string(code) + ")";
}

Result<DnsMessage> make_query(const DnsQuestion& question) {
  DataHandle name = name_data(question.name);
  if (!name) return Error{ErrorKind::internal, "\"" + question.name + "\" cannot be a DNS name"};
  const PacketHandle packet(ldns_pkt_query_new(name.release(), ldns_type(question.type), LDNS_RR_CLASS_IN,
                                               static_cast<std::uint16_t>(question.recursion ? LDNS_RD : 0)));
  if (!packet) return Error{ErrorKind::internal, "there is no memory for a DNS message"};
  ldns_pkt_set_random_id(packet.get());
  ldns_pkt_set_edns_udp_size(packet.get(), largest_over_udp);
  return to_wire(packet.get());
}

Result<DnsMessage> make_update(const std::string& zone, DnsChange change, const DnsRecord& record, const TsigKey& key) {
  // RFC 2136 section 2.5.4: removing one record names it whole, with class NONE and no lifetime.
  auto changed = make_record(record, change == DnsChange::add ? LDNS_RR_CLASS_IN : LDNS_RR_CLASS_NONE,
                             change == DnsChange::add ? record_lifetime : 0);
  if (!changed) return changed.error();
  const RecordsHandle updates(ldns_rr_list_new());
  if (!updates || !ldns_rr_list_push_rr(updates.get(), changed->get())) {
    return Error{ErrorKind::internal, "there is no memory for a DNS message"};
  }
  static_cast<void>(changed->release());
  DataHandle name = name_data(zone);
  if (!name) return Error{ErrorKind::internal, "\"" + zone + "\" cannot be a DNS name"};
  const PacketHandle packet(ldns_update_pkt_new(name.release(), LDNS_RR_CLASS_IN, nullptr, updates.get(), nullptr));
  if (!packet) return Error{ErrorKind::internal, "there is no memory for a DNS message"};
  ldns_pkt_set_random_id(packet.get());
  std::string secret(key.secret.text());
  const auto status = ldns_pkt_tsig_sign(packet.get(), (key.name + ".").c_str(), secret.c_str(), allowed_skew,
                                         (key.algorithm + ".").c_str(), nullptr);
  wipe(secret);
  if (status != LDNS_STATUS_OK) {
    return Error{ErrorKind::configuration,
                 "the update cannot be signed with the key \"" + key.name + "\": " + ldns_get_errorstr_by_id(status)};
  }
  auto message = to_wire(packet.get());
  if (!message) return message;
  const ldns_rr* tsig = ldns_pkt_tsig(packet.get());
  const ldns_rdf* mac = tsig == nullptr ? nullptr : ldns_rr_rdf(tsig, 3);
  if (mac == nullptr) return Error{ErrorKind::internal, "the update was not signed"};
  message->mac.assign(ldns_rdf_data(mac), ldns_rdf_data(mac) + ldns_rdf_size(mac));
  return message;
}

Result<DnsAnswer> read_answer(const Bytes& wire, const DnsMessage& asked) {
  auto packet = parse(wire, asked);
  if (!packet) return packet.error();
  return DnsAnswer{static_cast<int>(ldns_pkt_get_rcode(packet->get())), ldns_pkt_tc(packet->get()),
                   records_of(ldns_pkt_answer(packet->get())), records_of(ldns_pkt_authority(packet->get()))};
}

Result<Done> read_update_answer(const Bytes& wire, const DnsMessage& asked, const TsigKey& key) {
  auto packet = parse(wire, asked);
  if (!packet) return packet.error();
  const int code = static_cast<int>(ldns_pkt_get_rcode(packet->get()));
  const std::string trouble = key_trouble(tsig_error(ldns_pkt_tsig(packet->get())), key);
  if (!trouble.empty()) return Error{ErrorKind::dns, trouble};
  if (code != 0) {
    const std::string why = code_trouble(code);
    return Error{ErrorKind::dns, "it answered " + dns_code_text(code) + (why.empty() ? "" : ": " + why)};
  }
  const DataHandle mac(ldns_rdf_new_frm_data(LDNS_RDF_TYPE_INT16_DATA, asked.mac.size(), asked.mac.data()));
  std::string secret(key.secret.text());
  const bool genuine =
      mac && ldns_pkt_tsig_verify(packet->get(), wire.data(), wire.size(), (key.name + ".").c_str(), secret.c_str(), mac.get());
  wipe(secret);
  if (!genuine) return unusable("its answer is not signed with the key \"" + key.name + "\", so nothing is known");
  return Done{};
}

}  // namespace evercert
