// The server blocks of http{}: which of them are ours, where they listen, and what their TLS contexts call.
#include "http_module.h"

extern "C" {
#include <ngx_http_ssl_module.h>
}

#include <algorithm>
#include <map>
#include <set>

#include "handshake.h"

extern "C" ngx_module_t ngx_http_evercert_module;

namespace evercert {

namespace {

struct HttpMain {
  const ngx_http_ssl_srv_conf_t* upper = nullptr;
};

struct Listeners {
  std::map<const ngx_http_core_srv_conf_t*, std::vector<std::vector<std::string>>> tls;  // as words of proof_address
  std::set<const ngx_http_core_srv_conf_t*> quic;
  std::vector<std::string> plain_ports;
};

template <typename Conf>
Conf* conf_of(const ngx_http_core_srv_conf_t* server, const ngx_module_t& module) {
  return static_cast<Conf*>(server->ctx->srv_conf[module.ctx_index]);
}

// `ssl on;` for all listeners of a block: gone with nginx 1.25.1.
template <typename SslConf>
bool has_ssl_on(const SslConf& ssl) {
  if constexpr (requires { ssl.enable; }) return ssl.enable == 1;
  return false;
}

// Since nginx 1.25.0, if it was built with HTTP/3. Such a listener has TLS by its nature, and `ssl` is not set for it.
template <typename Options>
bool is_quic(const Options& listen) {
  if constexpr (requires { listen.quic; }) return listen.quic != 0;
  return false;
}

bool is_given(const ngx_array_t* certificates) {
  return certificates != NGX_CONF_UNSET_PTR && certificates != nullptr && certificates->nelts != 0;
}

// `ssl_certificate $evercert_certificate`, as configurations for nginx's own ACME module have it.
bool is_our_variable(const ngx_array_t& certificates) {
  const std::string_view name = text(*static_cast<const ngx_str_t*>(certificates.elts));
  return name == "$evercert_certificate" || name == "${evercert_certificate}" || name == "data:$evercert_certificate";
}

Listeners find_listeners(const ngx_http_core_main_conf_t& main) {
  Listeners found;
  std::set<unsigned> plain_ports;
  const auto* const ports = main.ports == nullptr ? nullptr : static_cast<const ngx_http_conf_port_t*>(main.ports->elts);
  for (std::size_t p = 0; ports != nullptr && p < main.ports->nelts; ++p) {
    const auto* const addresses = static_cast<const ngx_http_conf_addr_t*>(ports[p].addrs.elts);
    for (std::size_t a = 0; a < ports[p].addrs.nelts; ++a) {
      const ngx_http_listen_opt_t& listen = addresses[a].opt;
      const auto* const* const servers = static_cast<const ngx_http_core_srv_conf_t* const*>(addresses[a].servers.elts);
      if (is_quic(listen)) {
        found.quic.insert(servers, servers + addresses[a].servers.nelts);
        continue;
      }
      std::vector<std::string> words{std::string(text(listen.addr_text))};
      if (listen.proxy_protocol != 0) words.emplace_back("proxy_protocol");
      if (listen.ssl == 0 && ports[p].family != AF_UNIX) plain_ports.insert(ports[p].port);
      for (std::size_t s = 0; s < addresses[a].servers.nelts; ++s)
        if (listen.ssl != 0 || has_ssl_on(*conf_of<ngx_http_ssl_srv_conf_t>(servers[s], ngx_http_ssl_module)))
          found.tls[servers[s]].push_back(words);
    }
  }
  for (const unsigned port : plain_ports) found.plain_ports.push_back(std::to_string(port));
  return found;
}

bool bind_server(NginxCycle& cycle, const ngx_http_core_srv_conf_t& core, HttpServer& server, const Listeners& listeners) {
  HostFacts facts;
  facts.place = {reinterpret_cast<const char*>(core.file_name), static_cast<unsigned>(core.line)};
  facts.names = server_names<ngx_http_server_name_t>(core.server_names);
  facts.plain_ports = listeners.plain_ports;
  if (const auto tls = listeners.tls.find(&core); tls != listeners.tls.end()) facts.listeners = tls->second;
  facts.quic_only = facts.listeners.empty() && listeners.quic.count(&core) != 0;
  if (facts.listeners.empty() && !facts.quic_only) {
    // `evercert on` for all of http{} does not mean the blocks that only redirect.
    if (server.inherited && server.certificates.empty()) return true;
    log_words(
        NGX_LOG_WARN, ngx_cycle->log,
        "this server block has no \"listen … ssl\": its certificate is ordered, but served nowhere in " + facts.place.text());
  }
  auto* const ssl = conf_of<ngx_http_ssl_srv_conf_t>(&core, ngx_http_ssl_module);
  if (ssl->reject_handshake == 1) facts.served_otherwise = "ssl_reject_handshake on";
  if (ssl->reject_handshake == 1 && !server.inherited && (facts.quic_only || !facts.listeners.empty())) {
    log_words(NGX_LOG_EMERG, ngx_cycle->log,
              "\"ssl_reject_handshake on\" refuses every handshake here, so no certificate would ever be served; remove it, or "
              "evercert in " +
                  facts.place.text());
    return false;
  }
  if (server.has_certificate) facts.served_otherwise = "its own ssl_certificate";
  server.host = cycle.add_host(server, facts);
  if (server.host == nullptr || ssl->ssl.ctx == nullptr) return server.host != nullptr;
  server.host->has_own = is_given(ssl->certificates);
  if (ssl->certificate_values != nullptr) {
    server.host->own_callback = ngx_http_ssl_certificate;
    server.host->own_argument = ssl;
  }
  const std::string own_context =
      (facts.names.empty() ? facts.place.text() : facts.names.front()) + "\n" + std::string(text(ssl->client_certificate));
  return serve_from(ssl->ssl.ctx, *server.host, own_context);
}

}  // namespace

void note_upper_level(ngx_conf_t* cf) {
  auto* const main = pool_new<HttpMain>(cf->pool);
  main->upper = static_cast<ngx_http_ssl_srv_conf_t*>(ngx_http_conf_get_module_srv_conf(cf, ngx_http_ssl_module));
  static_cast<ngx_http_conf_ctx_t*>(cf->ctx)->main_conf[ngx_http_evercert_module.ctx_index] = main;
}

void take_over_certificates(ngx_conf_t* cf, HttpServer& block) {
  if (!block.active()) return;
  const auto* const main = static_cast<HttpMain*>(ngx_http_conf_get_module_main_conf(cf, ngx_http_evercert_module));
  auto* const ssl = static_cast<ngx_http_ssl_srv_conf_t*>(ngx_http_conf_get_module_srv_conf(cf, ngx_http_ssl_module));
  block.has_certificate = is_given(ssl->certificates) && !is_our_variable(*ssl->certificates);
  const ngx_array_t* const given = ssl->certificates == NGX_CONF_UNSET_PTR ? main->upper->certificates : ssl->certificates;
  if (is_given(given) && !is_our_variable(*given)) return;
  ssl->certificates = ngx_array_create(cf->pool, 1, sizeof(ngx_str_t));
  ssl->certificate_keys = ngx_array_create(cf->pool, 1, sizeof(ngx_str_t));
  if (ssl->certificates == nullptr || ssl->certificate_keys == nullptr) throw std::bad_alloc();
}

ngx_int_t bind_servers(ngx_conf_t* cf) {
  NginxCycle& cycle = *cycle_of(cf->cycle);
  auto* const main = static_cast<ngx_http_core_main_conf_t*>(ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module));
  const Listeners listeners = find_listeners(*main);
  const auto* const* const servers = static_cast<const ngx_http_core_srv_conf_t* const*>(main->servers.elts);
  for (std::size_t i = 0; i < main->servers.nelts; ++i) {
    auto& server = *conf_of<HttpServer>(servers[i], ngx_http_evercert_module);
    if (server.active() && !bind_server(cycle, *servers[i], server, listeners)) return NGX_ERROR;
  }
  const auto* const watch = pool_new<NameWatch>(cf->pool, NameWatch{&cycle, ngx_http_ssl_servername});
  for (std::size_t i = 0; cycle.has_hosts() && i < main->servers.nelts; ++i)
    if (SSL_CTX* const context = conf_of<ngx_http_ssl_srv_conf_t>(servers[i], ngx_http_ssl_module)->ssl.ctx)
      watch_names(context, *watch);
  auto* const handler = static_cast<ngx_http_handler_pt*>(ngx_array_push(&main->phases[NGX_HTTP_POST_READ_PHASE].handlers));
  if (handler == nullptr) return NGX_ERROR;
  *handler = [](ngx_http_request_t* request) { return answer_challenge(request); };
  return NGX_OK;
}

NginxCycle& cycle_of_request(ngx_http_request_t*) {
  // A request's cycle is the one its process runs: workers never change theirs, and a single process serves old connections
  // from the new one.
  return *cycle_of(const_cast<ngx_cycle_t*>(ngx_cycle));
}

HttpServer& server_of_request(ngx_http_request_t* request) {
  return *static_cast<HttpServer*>(ngx_http_get_module_srv_conf(request, ngx_http_evercert_module));
}

bool add_header(ngx_http_request_t* request, std::string_view name, std::string_view value) {
  auto* const header = static_cast<ngx_table_elt_t*>(ngx_list_push(&request->headers_out.headers));
  if (header == nullptr) return false;
  ngx_memzero(header, sizeof(ngx_table_elt_t));
  header->hash = 1;
  header->key = pool_text(request->pool, name);
  header->value = pool_text(request->pool, value);
  return true;
}

ngx_int_t send_page(ngx_http_request_t* request, std::string_view type, const std::string& body) {
  request->headers_out.status = NGX_HTTP_OK;
  request->headers_out.content_length_n = static_cast<off_t>(body.size());
  request->headers_out.content_type = pool_text(request->pool, type);
  request->headers_out.content_type_len = type.size();
  const ngx_int_t sent = ngx_http_send_header(request);
  if (sent == NGX_ERROR || sent > NGX_OK || request->header_only != 0) return sent;
  ngx_buf_t* const buffer = ngx_create_temp_buf(request->pool, body.size() + 1);
  if (buffer == nullptr) return NGX_HTTP_INTERNAL_SERVER_ERROR;
  buffer->last = std::copy(body.begin(), body.end(), buffer->pos);
  buffer->last_buf = request == request->main ? 1 : 0;
  buffer->last_in_chain = 1;
  ngx_chain_t chain{buffer, nullptr};
  return ngx_http_output_filter(request, &chain);
}

}  // namespace evercert
