#include "agent/issuer/surroundings.h"

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

}  // namespace evercert
