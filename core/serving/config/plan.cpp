#include "evercert/plan.h"

#include <algorithm>

#include "serving/config/words.h"

namespace evercert {

namespace {
constexpr const char* known_kinds = "ecdsa:256, ecdsa:384, ecdsa:521, rsa:2048, rsa:3072 or rsa:4096";
}

std::string KeySpec::text() const {
  return (algorithm == KeyAlgorithm::ecdsa ? "ecdsa:" : "rsa:") + std::to_string(bits);
}

Result<KeySpec> parse_key_spec(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view algorithm = text.substr(0, colon);
  const std::string_view size = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  for (const KeySpec& known :
       {KeySpec{KeyAlgorithm::ecdsa, 256}, KeySpec{KeyAlgorithm::ecdsa, 384}, KeySpec{KeyAlgorithm::ecdsa, 521},
        KeySpec{KeyAlgorithm::rsa, 2048}, KeySpec{KeyAlgorithm::rsa, 3072}, KeySpec{KeyAlgorithm::rsa, 4096}}) {
    const std::string spelled = known.text();
    // A bare algorithm means its smallest size.
    if (text == spelled || (colon == std::string_view::npos && spelled.starts_with(std::string(algorithm) + ":"))) return known;
  }
  if ((algorithm == "ecdsa" || algorithm == "rsa") && !size.empty())
    return configuration_error("there is no " + std::string(algorithm) + " key of size " + in_quotes(size) + "; write " +
                               known_kinds);
  return configuration_error(in_quotes(text) + " is no known kind of key; write " + known_kinds);
}

const char* to_string(ChallengeKind kind) {
  switch (kind) {
    case ChallengeKind::http_01:
      return "http-01";
    case ChallengeKind::tls_alpn_01:
      return "tls-alpn-01";
    case ChallengeKind::dns_01:
      return "dns-01";
    case ChallengeKind::http_file:
      return "http-file";
    case ChallengeKind::dns_txt:
      return "dns-txt";
    case ChallengeKind::dns_cname:
      return "dns-cname";
    case ChallengeKind::email:
      return "email";
  }
  return "";
}

std::string ProofAddress::text() const {
  if (!unix_path.empty()) return "unix:" + unix_path;
  const bool bracketed = host.find(':') != std::string::npos;
  return (bracketed ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

// A name that answers by HTTP or TLS proves nothing of the names below it.
bool IssuerSpec::proves_wildcards() const {
  return std::any_of(challenges.begin(), challenges.end(), [](ChallengeKind kind) {
    return kind != ChallengeKind::http_01 && kind != ChallengeKind::tls_alpn_01 && kind != ChallengeKind::http_file;
  });
}

std::string DnsServer::text() const {
  const bool bracketed = address.find(':') != std::string::npos;
  return (bracketed ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

const DnsUpdate* DnsSettings::update_for(const std::string& name) const {
  const DnsUpdate* best = nullptr;
  for (const DnsUpdate& update : updates) {
    const bool holds = update.zone.empty() || name == update.zone || name.ends_with("." + update.zone);
    if (holds && (best == nullptr || update.zone.size() > best->zone.size())) best = &update;
  }
  return best;
}

const IssuerSpec* Plan::issuer(std::string_view name) const {
  for (const IssuerSpec& candidate : issuers)
    if (candidate.name == name) return &candidate;
  return nullptr;
}

const CertificateSpec* Plan::certificate(std::string_view name) const {
  for (const CertificateSpec& candidate : certificates)
    if (candidate.name == name) return &candidate;
  return nullptr;
}

}  // namespace evercert
