// Variables: what would be served for this request. The key is never given away: $evercert_certificate_key exists so that
// configurations written for nginx's own ACME module load, and is always empty.
#include <array>

#include "handshake.h"
#include "http_module.h"

namespace evercert {

namespace {

std::shared_ptr<const ServedCertificate> certificate_of(ngx_http_request_t* request) {
  NginxHost* const host = server_of_request(request).host;
  if (host == nullptr) return nullptr;
  const char* name = nullptr;
  if (request->connection->ssl != nullptr)
    name = SSL_get_servername(request->connection->ssl->connection, TLSEXT_NAMETYPE_host_name);
  return certificate_for(*host, name != nullptr ? std::string_view(name) : text(request->headers_in.server));
}

ngx_int_t give(ngx_http_request_t* request, ngx_http_variable_value_t* value, const std::string& content) {
  const ngx_str_t copy = pool_text(request->pool, content);
  value->len = copy.len & 0xfffffff;
  value->valid = 1;
  value->no_cacheable = 0;
  value->not_found = 0;
  value->data = copy.data;
  return NGX_OK;
}

ngx_int_t certificate(ngx_http_request_t* request, ngx_http_variable_value_t* value, uintptr_t) {
  return guarded<ngx_int_t>(NGX_ERROR, [&] {
    const auto served = certificate_of(request);
    return give(request, value, served ? served->pem_chain() : "");
  });
}

ngx_int_t generation(ngx_http_request_t* request, ngx_http_variable_value_t* value, uintptr_t) {
  return guarded<ngx_int_t>(NGX_ERROR, [&] {
    const auto served = certificate_of(request);
    return give(request, value, served ? std::to_string(served->generation()) : "");
  });
}

ngx_int_t certificate_key(ngx_http_request_t* request, ngx_http_variable_value_t* value, uintptr_t) {
  return guarded<ngx_int_t>(NGX_ERROR, [&] { return give(request, value, ""); });
}

}  // namespace

ngx_int_t add_variables(ngx_conf_t* cf) {
  const std::array<std::pair<const char*, ngx_http_get_variable_pt>, 3> all{{
      {"evercert_certificate", certificate},
      {"evercert_certificate_key", certificate_key},
      {"evercert_generation", generation},
  }};
  for (const auto& [name, get] : all) {
    ngx_str_t spelled = pool_text(cf->pool, name);
    ngx_http_variable_t* const variable = ngx_http_add_variable(cf, &spelled, NGX_HTTP_VAR_NOCACHEABLE);
    if (variable == nullptr) return NGX_ERROR;
    variable->get_handler = get;
  }
  return NGX_OK;
}

}  // namespace evercert
