#include <algorithm>

#include "stream_blocks.h"

namespace evercert {

namespace {

static_assert(nginx_version >= 1025005, "older nginx has one stream server block for each listener");

const StreamSsl& ssl_of(const ngx_stream_core_srv_conf_t& server) {
  return *static_cast<const StreamSsl*>(server.ctx->srv_conf[ngx_stream_ssl_module.ctx_index]);
}

bool has_server(const ngx_stream_conf_addr_t& address, const ngx_stream_core_srv_conf_t& server) {
  const auto* const* const servers = static_cast<const ngx_stream_core_srv_conf_t* const*>(address.servers.elts);
  return std::find(servers, servers + address.servers.nelts, &server) != servers + address.servers.nelts;
}

// nginx before 1.29.2 chooses in a callback that it keeps to itself; what it asks there can be asked before.
SSL_CTX* context_ahead(const ngx_connection_t* connection, std::string_view server_name) {
  auto* const session = static_cast<ngx_stream_session_t*>(connection->data);
  ngx_str_t name{server_name.size(), reinterpret_cast<u_char*>(const_cast<char*>(server_name.data()))};
  ngx_stream_core_srv_conf_t* server = nullptr;
  if (name.len == 0 || ngx_stream_validate_host(&name, connection->pool, 1) != NGX_OK ||
      ngx_stream_find_virtual_server(session, &name, &server) != NGX_OK)
    return nullptr;
  return ssl_of(*server).ssl.ctx;
}

}  // namespace

HostFacts stream_facts(const ngx_stream_core_main_conf_t& main, const ngx_stream_core_srv_conf_t& server) {
  HostFacts facts;
  facts.place = {reinterpret_cast<const char*>(server.file_name), static_cast<unsigned>(server.line)};
  if (ssl_of(server).reject_handshake == 1) facts.served_otherwise = "ssl_reject_handshake on";
  facts.names = server_names<ngx_stream_server_name_t>(server.server_names);
  const auto* const ports = main.ports == nullptr ? nullptr : static_cast<const ngx_stream_conf_port_t*>(main.ports->elts);
  for (std::size_t p = 0; ports != nullptr && p < main.ports->nelts; ++p) {
    const auto* const addresses = static_cast<const ngx_stream_conf_addr_t*>(ports[p].addrs.elts);
    for (std::size_t a = 0; a < ports[p].addrs.nelts; ++a) {
      if (addresses[a].opt.ssl == 0 || !has_server(addresses[a], server)) continue;
      facts.listeners.push_back({std::string(text(addresses[a].opt.addr_text))});
      if (addresses[a].opt.proxy_protocol != 0) facts.listeners.back().emplace_back("proxy_protocol");
    }
  }
  return facts;
}

const bool stream_blocks_have_names = true;
const ContextChoice stream_choice = context_ahead;

}  // namespace evercert
