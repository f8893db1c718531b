#include "serving/config/known_cas.h"

#include <algorithm>

namespace evercert {

namespace {

constexpr KnownCa authorities[] = {
    {"letsencrypt", "Let's Encrypt", "https://acme-v02.api.letsencrypt.org/directory", "", false, "",
     "https://letsencrypt.org/docs/acme-protocol-updates/"},
    {"letsencrypt-staging", "Let's Encrypt, staging", "https://acme-staging-v02.api.letsencrypt.org/directory", "", true,
     "To try things out: the limits are wide", "https://letsencrypt.org/docs/staging-environment/"},
    {"zerossl", "ZeroSSL", "https://acme.zerossl.com/v2/DV90",
     "at https://app.zerossl.com/developer (EAB credentials for ACME clients)", false, "",
     "https://project.zerossl.com/documentation/acme/error-codes"},
    {"google", "Google Trust Services", "https://dv.acme-v02.api.pki.goog/directory",
     "from `gcloud publicca external-account-keys create`", false,
     "A key must be used within seven days; the account made with it stays",
     "https://docs.cloud.google.com/certificate-manager/docs/public-ca-tutorial"},
    {"google-staging", "Google Trust Services, staging", "https://dv.acme-v02.test-api.pki.goog/directory",
     "from Public CA's staging environment, as Google's page says; what production hands out is valid there alone", true, "",
     "https://docs.cloud.google.com/certificate-manager/docs/public-ca-tutorial"},
    {"sslcom", "SSL.com, ECDSA", "https://acme.ssl.com/sslcom-dv-ecc", "in the dashboard of SSL.com under api credentials",
     false, "For ECDSA keys, which is what is ordered without key=",
     "https://www.ssl.com/guide/ssl-tls-certificate-issuance-and-revocation-with-acme/"},
    {"sslcom-rsa", "SSL.com, RSA", "https://acme.ssl.com/sslcom-dv-rsa", "in the dashboard of SSL.com under api credentials",
     false, "For RSA keys", "https://www.ssl.com/guide/ssl-tls-certificate-issuance-and-revocation-with-acme/"},
    {"sectigo", "Sectigo, DV", "https://acme.sectigo.com/v2/DV",
     "from the ACME account in Sectigo Certificate Manager, or from whoever sold the subscription", false,
     "The account may show another address (OV, EV); write that one then",
     "https://docs.sectigo.com/caas/caas-api-guide/quick-start-api.html"},
    {"digicert", "DigiCert CertCentral, US", "https://one.us.digicert.com/mpki/api/v1/acme/v2/directory",
     "in CertCentral under Automation, ACME Directory URLs (or ACME credentials)", false, "",
     "https://docs.digicert.com/en/certcentral/automate-certificate-lifecycle/set-up-managed-automation/"
     "set-up-acme-in-certcentral/confirm-regional-directory-url.html"},
    {"digicert-eu", "DigiCert CertCentral, EU", "https://one.nl.digicert.com/mpki/api/v1/acme/v2/directory",
     "in CertCentral under Automation, ACME Directory URLs (or ACME credentials)", false, "",
     "https://docs.digicert.com/en/certcentral/automate-certificate-lifecycle/set-up-managed-automation/"
     "set-up-acme-in-certcentral/confirm-regional-directory-url.html"},
    {"digicert-japan", "DigiCert CertCentral, Japan", "https://one.digicert.co.jp/mpki/api/v1/acme/v2/directory",
     "in CertCentral under Automation, ACME Directory URLs (or ACME credentials)", false, "",
     "https://docs.digicert.com/en/certcentral/automate-certificate-lifecycle/set-up-managed-automation/"
     "set-up-acme-in-certcentral/confirm-regional-directory-url.html"},
    {"emsign", "emSign", "", "", false,
     "CERTInext shows the address of the directory with the external account key, under Integrations, ACME; write that address",
     "https://emudhra.com/blog/automated-certificate-management-environment-acme-and-emsign"},
    {"buypass", "Buypass", "", "", false, "Buypass has issued no TLS certificates since 31 October 2025; name another CA",
     "https://www.buypass.com/products/tls-ssl-certificates/discontinues-issuance-of-tls-ssl-certificates"},
};

const KnownCa* authority_by(std::string_view text, std::string_view KnownCa::*where) {
  if (text.empty()) return nullptr;
  const auto* const entry =
      std::find_if(std::begin(authorities), std::end(authorities), [&](const KnownCa& ca) { return ca.*where == text; });
  return entry == std::end(authorities) ? nullptr : entry;
}

constexpr std::string_view authorities_head = R"(# Certificate authorities

Printed from the table of the core (`evercert reference authorities`); do not edit. Each word may stand in the place of an address, in `uri` of an issuer
that speaks ACME: `uri letsencrypt;` in nginx, `EvercertUri letsencrypt` in Apache, `"uri": "letsencrypt"` in `evercert.json`. Any other CA is named by the
address of its ACME directory. An account belongs to the address, so that word and address may be exchanged later.

Most CAs want their terms of service accepted (`accept_terms_of_service`). Where a CA wants an external account key (EAB) as well, it goes into
`external_account_key`; without one, the server's configuration test says so.

| word | CA | directory | external account key |
|---|---|---|---|
)";

constexpr std::string_view authorities_without = R"(
## Without a word

Named here because people look for them; as a word they are refused with this sentence.

)";

constexpr std::string_view authorities_sources = R"(
## Sources

What the CAs themselves say of what they want, and most of the addresses, in November 2026. The addresses of Google Trust Services and SSL.com were taken
from the lists of other clients (<https://go-acme.github.io/lego/advanced/caservers/>, <https://github.com/acmesh-official/acme.sh/wiki/Server>).

)";

}  // namespace

std::span<const KnownCa> known_cas() {
  return authorities;
}

const KnownCa* known_ca(std::string_view word) {
  return authority_by(word, &KnownCa::word);
}

const KnownCa* known_ca_at(std::string_view directory) {
  return authority_by(directory, &KnownCa::directory);
}

std::vector<std::string> known_ca_words() {
  std::vector<std::string> words;
  for (const KnownCa& ca : authorities)
    if (!ca.directory.empty()) words.emplace_back(ca.word);
  return words;
}

bool may_name_ca(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

std::string authorities_reference() {
  std::string page(authorities_head);
  for (const KnownCa& ca : authorities) {
    if (ca.directory.empty()) continue;
    page += "| `" + std::string(ca.word) + "` | " + std::string(ca.title) +
            (ca.staging ? "; nobody trusts what it issues" : "") + (ca.remark.empty() ? "" : ". " + std::string(ca.remark)) +
            " | `" + std::string(ca.directory) + "` | " + (ca.account.empty() ? "no" : "yes, " + std::string(ca.account)) +
            " |\n";
  }
  page += authorities_without;
  for (const KnownCa& ca : authorities)
    if (ca.directory.empty()) page += "* `" + std::string(ca.word) + "`: " + std::string(ca.remark) + ".\n";
  page += authorities_sources;
  std::string_view last;
  for (const KnownCa& ca : authorities) {
    if (ca.source != last)
      page += "* " + std::string(ca.title.substr(0, ca.title.find(','))) + ": <" + std::string(ca.source) + ">\n";
    last = ca.source;
  }
  return page;
}

}  // namespace evercert
