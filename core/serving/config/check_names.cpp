// What is odd about the names of a certificate, though it can be ordered: told now, not by a CA's refusal at night.
#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "serving/config/check.h"
#include "serving/config/identifier.h"
#include "serving/config/words.h"

namespace evercert {

namespace {

bool is_plain_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char letter) { return static_cast<unsigned char>(letter) < 0x80; });
}

// RFC 6761, RFC 6762 section 3, RFC 9476 and RFC 8375: names that mean something else on every network.
constexpr std::array special_names{"localhost", "local", "test", "example", "invalid", "internal", "home.arpa", "onion", "alt"};

struct Block {
  const char* address;
  unsigned bits;
  const char* meaning;
};
// The special-purpose registries of RFC 6890 that nobody is reached by from the Internet.
constexpr std::array special_blocks{Block{"10.0.0.0", 8, "private"},
                                    Block{"100.64.0.0", 10, "a carrier's own"},
                                    Block{"127.0.0.0", 8, "this host itself"},
                                    Block{"169.254.0.0", 16, "of one link only"},
                                    Block{"172.16.0.0", 12, "private"},
                                    Block{"192.0.0.0", 24, "reserved"},
                                    Block{"192.0.2.0", 24, "for documentation"},
                                    Block{"192.168.0.0", 16, "private"},
                                    Block{"198.18.0.0", 15, "for benchmarks"},
                                    Block{"198.51.100.0", 24, "for documentation"},
                                    Block{"203.0.113.0", 24, "for documentation"},
                                    Block{"240.0.0.0", 4, "reserved"},
                                    Block{"::1", 128, "this host itself"},
                                    Block{"64:ff9b:1::", 48, "private"},
                                    Block{"100::", 64, "reserved"},
                                    Block{"2001:db8::", 32, "for documentation"},
                                    Block{"fc00::", 7, "private"},
                                    Block{"fe80::", 10, "of one link only"}};
// No host has these.
constexpr std::array no_host{Block{"0.0.0.0", 8, ""}, Block{"224.0.0.0", 4, ""}, Block{"255.255.255.255", 32, ""},
                             Block{"::", 128, ""}, Block{"ff00::", 8, ""}};

bool is_in(const std::string& address, const Block& block) {
  const int family = address.find(':') == std::string::npos ? AF_INET : AF_INET6;
  std::array<unsigned char, 16> given{};
  std::array<unsigned char, 16> start{};
  if (::inet_pton(family, address.c_str(), given.data()) != 1 || ::inet_pton(family, block.address, start.data()) != 1)
    return false;
  const std::size_t whole = block.bits / 8;
  if (std::memcmp(given.data(), start.data(), whole) != 0) return false;
  const unsigned rest = block.bits % 8;
  return rest == 0 || ((given[whole] ^ start[whole]) >> (8 - rest)) == 0;
}

std::string why_not_public(const Identifier& identifier) {
  const std::string& value = identifier.value;
  if (identifier.kind == IdentifierKind::ip) {
    const auto block =
        std::find_if(special_blocks.begin(), special_blocks.end(), [&](const Block& one) { return is_in(value, one); });
    return block == special_blocks.end() ? "" : std::string("is an address that is ") + block->meaning;
  }
  const std::string name = identifier.is_wildcard() ? value.substr(2) : value;
  for (const std::string special : special_names)
    if (name == special || name.ends_with("." + special))
      return name == special ? "is a name that nobody can own" : "is below " + special + ", which nobody can own";
  if (name.find('.') == std::string::npos) return "has no dot, so it means another host on every network";
  return "";
}

// One with a CA certificate of its own, or at an address that is not of the Internet, is hardly one that the world trusts.
bool is_private(const IssuerSpec& issuer) {
  if (!issuer.trusted_certificates_pem.empty() || !issuer.verify) return true;
  const auto uri = parse_uri(issuer.uri);
  const auto host = uri ? parse_identifier(uri->host) : Result<Identifier>(uri.error());
  return !host || !why_not_public(*host).empty();
}

bool name_covers(const Identifier& identifier, const Identifier& name) {
  if (identifier == name) return true;
  if (!identifier.is_wildcard() || name.kind != IdentifierKind::dns) return false;
  const auto dot = name.value.find('.');
  return dot != std::string::npos && name.value.substr(dot) == identifier.value.substr(1);
}

void check_bytes(const SectionReader& reader) {
  for (const std::string& word : reader.words("server_names")) {
    if (is_plain_ascii(word) || word.starts_with('~')) continue;
    const auto read = parse_server_name(word);
    if (!read || read->empty()) continue;
    reader.warning("server_names", in_quotes(word) + ": clients send this name as " + read->front().value +
                                       ", and the server compares bytes: write " + read->front().value +
                                       " in its place, or this server is never chosen for it");
  }
}

void check_common_name(const SectionReader& reader, const std::vector<Identifier>& identifiers) {
  if (reader.find("identifiers") == nullptr) return;
  std::vector<std::string> shown;
  for (const std::string& word : reader.words("server_names")) {
    if (word.empty() || word == "_") continue;
    const auto names = parse_server_name(word);
    // A regular expression, or a form that only the server knows, may cover anything.
    if (!names) return;
    for (const Identifier& name : *names)
      for (const Identifier& identifier : identifiers)
        if (name_covers(identifier, name) || name_covers(name, identifier)) return;
    shown.push_back(word);
  }
  if (shown.empty()) return;
  constexpr std::size_t enough = 3;
  if (shown.size() > enough) shown.resize(enough);
  reader.warning("identifiers", "no name of this server (" + enumerated(shown) + ") is in this certificate (" +
                                    identifiers.front().value + "): clients of this server never get it");
}

}  // namespace

void check_names(const SectionReader& reader, const Plan& plan, const std::vector<Identifier>& identifiers,
                 const std::vector<std::string>& issuers) {
  const std::string_view option = reader.find("identifiers") != nullptr ? "identifiers" : "server_names";
  check_bytes(reader);
  check_common_name(reader, identifiers);
  std::vector<std::string> open;
  for (const std::string& name : issuers) {
    const IssuerSpec* const issuer = plan.issuer(name);
    if (issuer != nullptr && !is_private(*issuer)) open.push_back(name);
  }
  for (const Identifier& identifier : identifiers) {
    if (identifier.kind == IdentifierKind::ip &&
        std::any_of(no_host.begin(), no_host.end(), [&](const Block& block) { return is_in(identifier.value, block); })) {
      reader.error(option, in_quotes(identifier.value) + " is no address that a host can have; remove it");
      continue;
    }
    const std::string why = why_not_public(identifier);
    if (open.empty() || why.empty()) continue;
    reader.warning(option, in_quotes(identifier.value) + " " + why + ": no publicly trusted CA issues for it (issuer " +
                               enumerated(open) + "); remove it, or order it from a CA of your own");
  }
}

}  // namespace evercert
