#include "agent/issuer/issuers.h"

#include "agent/issuer/acme_issuer.h"
#include "agent/issuer/commercial_issuer.h"

namespace evercert {

HttpSettings http_settings_of(const IssuerSpec& spec, const IssuerSurroundings& surroundings) {
  HttpSettings settings;
  settings.trusted_certificates_pem = spec.trusted_certificates_pem;
  settings.verify = spec.verify;
  settings.proxy = spec.proxy;
  settings.connect_timeout = spec.connect_timeout;
  settings.total_timeout = spec.timeout;
  settings.user_agent = "evercert/" EVERCERT_VERSION " (ACME client for web servers)";
  settings.stop = surroundings.stop;
  if (surroundings.answered) {
    settings.answered = [told = surroundings.answered, name = spec.name](int status) { told(name, status); };
  }
  return settings;
}

Result<std::unique_ptr<Issuer>> make_issuer(const IssuerSpec& spec, const IssuerSurroundings& surroundings) {
  if (spec.type == "acme") {
    return make_acme_issuer(spec, make_http_client(http_settings_of(spec, surroundings)), surroundings);
  }
  if (spec.type == "certinext") {
    auto http = make_http_client(http_settings_of(spec, surroundings));
    auto api = spec.purchase.api == "v2" ? make_certinext_v2(spec, std::move(http), surroundings.clock)
                                         : make_certinext_v1(spec, std::move(http), surroundings.clock);
    return make_commercial_issuer(spec, std::move(api), surroundings);
  }
  if (spec.type == "sectigo") {
    auto http = make_http_client(http_settings_of(spec, surroundings));
    return make_commercial_issuer(spec, make_sectigo(spec, std::move(http), surroundings.clock), surroundings);
  }
  if (spec.type == "digicert") {
    auto http = make_http_client(http_settings_of(spec, surroundings));
    return make_commercial_issuer(spec, make_digicert(spec, std::move(http), surroundings.clock), surroundings);
  }
  return Error{ErrorKind::configuration, "issuer " + spec.name + " is of type \"" + spec.type +
                                             "\", which does not exist; use acme, certinext, sectigo or digicert"};
}

}  // namespace evercert
