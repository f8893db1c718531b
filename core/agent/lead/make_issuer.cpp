#include "agent/lead/make_issuer.h"

#include "agent/acme/acme_issuer.h"
#include "agent/commercial/certinext_v1.h"
#include "agent/commercial/certinext_v2.h"
#include "agent/commercial/commercial_issuer.h"
#include "agent/commercial/digicert.h"
#include "agent/commercial/sectigo.h"
#include "agent/commercial/ssl_store.h"
#include "serving/base/encoding.h"

namespace evercert {

namespace {

using MakeApi = std::unique_ptr<RestApi> (*)(const IssuerSpec&, std::unique_ptr<HttpClient>, const Clock&);

template <typename Api>
std::unique_ptr<RestApi> make(const IssuerSpec& spec, std::unique_ptr<HttpClient> http, const Clock& clock) {
  return std::make_unique<Api>(spec, std::move(http), clock);
}

// CAs count by account or by key: issuers that differ in their options only are one customer.
std::string customer_of(const IssuerSpec& spec) {
  const std::string_view secret = spec.purchase.secret.text();
  return spec.type + " " + spec.uri + " " + spec.purchase.account + " " +
         to_hex(sha256({reinterpret_cast<const std::uint8_t*>(secret.data()), secret.size()}));
}

MakeApi commercial_api_of(const IssuerSpec& spec) {
  if (spec.type == "certinext") return spec.purchase.api == "v2" ? make<CertinextV2> : make<CertinextV1>;
  if (spec.type == "sectigo") return make<Sectigo>;
  if (spec.type == "ssl_store") return make<SslStore>;
  if (spec.type == "digicert") return make<DigiCert>;
  return nullptr;
}

}  // namespace

Result<std::unique_ptr<Issuer>> make_issuer(const IssuerSpec& spec, const IssuerSurroundings& surroundings) {
  auto http = make_http_client(http_settings_of(spec, surroundings));
  if (spec.type == "acme") return make_acme_issuer(spec, std::move(http), surroundings);
  if (const MakeApi make_api = commercial_api_of(spec)) {
    auto api = make_api(spec, std::move(http), surroundings.clock);
    api->join(AccountGate::of(customer_of(spec), api->pace()), surroundings.stop);
    return make_commercial_issuer(spec, std::move(api), surroundings);
  }
  return Error{ErrorKind::configuration, "issuer " + spec.name + " is of type \"" + spec.type +
                                             "\", which does not exist; use acme, certinext, sectigo, ssl_store or digicert"};
}

}  // namespace evercert
