#include "handshake.h"

#include <apr_optional_hooks.h>
#include <apr_strings.h>
#include <http_ssl.h>
#include <mod_ssl.h>

// mod_ssl's header for this hook is not installed with the server; the hook is there since 2.4.19.
extern "C" {
APR_DECLARE_EXTERNAL_HOOK(ssl, SSL, int, init_server, (server_rec * server, apr_pool_t* pool, int is_proxy, SSL_CTX* context))
}

namespace evercert {
namespace {

constexpr std::string_view challenge_protocol = "acme-tls/1";  // RFC 8737 section 6.2

std::string_view server_name_of(const SSL* connection) {
  return text(SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name));
}

// TLS 1.3 chooses the protocol before it asks for the certificate, so what answers a tls-alpn-01 challenge is set already.
bool is_challenge(const SSL* connection) {
  const unsigned char* protocol = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(connection, &protocol, &length);
  return std::string_view(reinterpret_cast<const char*>(protocol), length) == challenge_protocol;
}

// For whoever logs requests of this connection.
void note(const SSL* connection, const std::string& name, const ServedCertificate& certificate) {
  auto* const link = static_cast<conn_rec*>(SSL_get_app_data(connection));
  if (link == nullptr) return;
  auto* const given = static_cast<Given*>(apr_palloc(link->pool, sizeof(Given)));
  *given = {&name, certificate.generation()};
  ap_set_module_config(link->conn_config, &evercert_module, given);
}

// Never fails the handshake: without a certificate of ours, what mod_ssl has loaded is served.
int install_certificate(SSL* connection, void* argument) {
  auto& host = *static_cast<ApacheHost*>(argument);
  return guarded(1, [&] {
    if (is_challenge(connection)) return 1;
    const std::string* name = nullptr;
    const auto certificate = host.cycle->configuration().certificate_for(host, server_name_of(connection), &name);
    if (certificate != nullptr && certificate->apply(connection)) note(connection, *name, *certificate);
    return 1;
  });
}

int watch_context(server_rec* server, apr_pool_t*, int is_proxy, SSL_CTX* context) {
  if (ApacheHost* const host = is_proxy != 0 ? nullptr : host_of(server))
    SSL_CTX_set_cert_cb(context, install_certificate, host);
  return OK;
}

// By no means through the hook for fallback certificates: mod_ssl would answer 503 for such a host until the next restart.
int add_stand_in(server_rec* server, apr_pool_t* pool, apr_array_header_t* certificates, apr_array_header_t* keys) {
  return guarded(DECLINED, [&] {
    ApacheHost* const host = host_of(server);
    if (host == nullptr) return DECLINED;
    host->has_own = certificates->nelts != 0;
    if (host->has_own) return DECLINED;
    const std::string path = host->cycle->stand_in_for(*host);
    if (path.empty()) return DECLINED;
    APR_ARRAY_PUSH(certificates, const char*) = apr_pstrdup(pool, path.c_str());
    APR_ARRAY_PUSH(keys, const char*) = apr_pstrdup(pool, path.c_str());
    return OK;
  });
}

}  // namespace

void register_handshake() {
  ap_hook_ssl_add_cert_files(add_stand_in, nullptr, nullptr, APR_HOOK_LAST);
  APR_OPTIONAL_HOOK(ssl, init_server, watch_context, nullptr, nullptr, APR_HOOK_MIDDLE);
}

const Given* given_to(const conn_rec* connection) {
  // A request of HTTP/2 has a connection of its own, below the one that made the handshake.
  if (connection->master != nullptr) connection = connection->master;
  return static_cast<const Given*>(ap_get_module_config(connection->conn_config, &evercert_module));
}

}  // namespace evercert
