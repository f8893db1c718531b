// The stream module: tables and callbacks only. It holds no core; it borrows the http module's.
#include <dlfcn.h>

#include <vector>

#include "stream_blocks.h"
#include "stream_link.h"

extern "C" ngx_module_t ngx_stream_evercert_module;

namespace evercert {

namespace {

DirectiveTable stream_directives;
const StreamLink* core = nullptr;

template <typename Conf>
Conf* conf_of(const ngx_stream_conf_ctx_t* context, const ngx_module_t& module) {
  return static_cast<Conf*>(context->srv_conf[module.ctx_index]);
}

bool find_core(ngx_conf_t* cf) {
  // POSIX gives functions by pointers to objects.
  using Find = const StreamLink* (*)();
  const auto find = reinterpret_cast<Find>(::dlsym(RTLD_DEFAULT, StreamLink::name));
  core = find == nullptr ? nullptr : find();
  if (core != nullptr && core->version == StreamLink::expected_version) return true;
  ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                     core == nullptr
                         ? "evercert: the stream module needs the http module: put \"load_module "
                           "modules/ngx_http_evercert_module.so;\" at the top of the configuration"
                         : "evercert: the http and the stream module are of different releases: install both again");
  return false;
}

// nginx asks for this first of all when it meets stream{}, before it reads a directive.
void* create_server(ngx_conf_t* cf) {
  return guarded<void*>(nullptr, [&]() -> void* {
    if (!find_core(cf)) return nullptr;
    const bool filled = stream_directives.commands[0].name.len != 0;
    if (!filled && !core->fill(stream_directives, {NGX_STREAM_MAIN_CONF, NGX_STREAM_SRV_CONF, NGX_STREAM_SRV_CONF_OFFSET}))
      return nullptr;
    return core->create_server(cf->pool);
  });
}

void take_over_certificates(ngx_conf_t* cf, const HostWish& block) {
  auto* const ssl = static_cast<StreamSsl*>(ngx_stream_conf_get_module_srv_conf(cf, ngx_stream_ssl_module));
  const auto* const upper = static_cast<StreamSsl*>(ngx_stream_conf_get_module_main_conf(cf, ngx_stream_evercert_module));
  const bool above = upper->certificates != NGX_CONF_UNSET_PTR && upper->certificates != nullptr;
  if (!core->is_active(block) || ssl->certificates != NGX_CONF_UNSET_PTR || above) return;
  ssl->certificates = ngx_array_create(cf->pool, 1, sizeof(ngx_str_t));
  ssl->certificate_keys = ngx_array_create(cf->pool, 1, sizeof(ngx_str_t));
  if (ssl->certificates == nullptr || ssl->certificate_keys == nullptr) throw std::bad_alloc();
}

// What stream{} itself says, for when its server blocks are merged with it.
char* before_merges(ngx_conf_t* cf, void*) {
  static_cast<ngx_stream_conf_ctx_t*>(cf->ctx)->main_conf[ngx_stream_evercert_module.ctx_index] =
      ngx_stream_conf_get_module_srv_conf(cf, ngx_stream_ssl_module);
  return static_cast<char*>(NGX_CONF_OK);
}

char* merge_server(ngx_conf_t* cf, void* parent, void* child) {
  return guarded(static_cast<char*>(NGX_CONF_ERROR), [&] {
    core->inherit(*static_cast<HostWish*>(child), *static_cast<HostWish*>(parent));
    take_over_certificates(cf, *static_cast<HostWish*>(child));
    return static_cast<char*>(NGX_CONF_OK);
  });
}

bool bind_server(ngx_conf_t* cf, const ngx_stream_core_main_conf_t& main, const ngx_stream_core_srv_conf_t& server,
                 NginxCycle*& cycle) {
  const auto& block = *conf_of<HostWish>(server.ctx, ngx_stream_evercert_module);
  auto* const ssl = conf_of<StreamSsl>(server.ctx, ngx_stream_ssl_module);
  const HostFacts facts = stream_facts(main, server);
  if (!core->is_active(block) || (block.inherited && facts.listeners.empty())) return true;
  if (ssl->certificate_values != nullptr) {
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "evercert: a certificate with variables in its name cannot stand beside evercert in a stream server; remove "
                  "\"ssl_certificate\", or write \"evercert off\" in %s:%ui",
                  server.file_name, server.line);
    return false;
  }
  if (!facts.served_otherwise.empty() && !block.inherited && !facts.listeners.empty()) {
    ngx_log_error(
        NGX_LOG_EMERG, cf->log, 0,
        "evercert: \"%s\" refuses every handshake here, so no certificate would ever be served; remove it, or evercert in "
        "%s:%ui",
        facts.served_otherwise.c_str(), server.file_name, server.line);
    return false;
  }
  NginxHost* const host = core->add_host(cf->cycle, block, facts);
  if (host == nullptr) return false;
  cycle = host->cycle;
  if (ssl->ssl.ctx == nullptr) return true;
  host->has_own = ssl->certificates->nelts != 0;
  const std::string place = facts.place.file + ":" + std::to_string(facts.place.line);
  return core->serve(ssl->ssl.ctx, *host, "stream\n" + place + "\n" + std::string(text(ssl->client_certificate)));
}

ngx_int_t bind_servers(ngx_conf_t* cf) {
  return guarded<ngx_int_t>(NGX_ERROR, [&]() -> ngx_int_t {
    const auto& main =
        *static_cast<ngx_stream_core_main_conf_t*>(ngx_stream_conf_get_module_main_conf(cf, ngx_stream_core_module));
    const auto* const* const servers = static_cast<const ngx_stream_core_srv_conf_t* const*>(main.servers.elts);
    NginxCycle* cycle = nullptr;
    for (std::size_t i = 0; i < main.servers.nelts; ++i)
      if (!bind_server(cf, main, *servers[i], cycle)) return NGX_ERROR;
    if (cycle == nullptr) return NGX_OK;
    const auto& watch = *pool_new<NameWatch>(cf->pool, NameWatch{cycle, nullptr, stream_choice});
    for (std::size_t i = 0; i < main.servers.nelts; ++i) {
      SSL_CTX* const context = conf_of<StreamSsl>(servers[i]->ctx, ngx_stream_ssl_module)->ssl.ctx;
      const bool ours = core->is_active(*conf_of<HostWish>(servers[i]->ctx, ngx_stream_evercert_module));
      if (context != nullptr && (ours || stream_blocks_have_names)) core->watch(context, watch);
    }
    return NGX_OK;
  });
}

// nginx takes them as char*, though it only reads them.
char stream_name[] = "ngx_stream_evercert_module";
char ssl_name[] = "ngx_stream_ssl_module";

ngx_stream_module_t context{nullptr, bind_servers, nullptr, before_merges, create_server, merge_server};

}  // namespace

}  // namespace evercert

// What nginx looks up by name; everything else is hidden.
#pragma GCC visibility push(default)
extern "C" {
ngx_module_t ngx_stream_evercert_module{NGX_MODULE_V1,
                                        &evercert::context,
                                        evercert::stream_directives.commands.data(),
                                        NGX_STREAM_MODULE,
                                        nullptr,
                                        nullptr,
                                        nullptr,
                                        nullptr,
                                        nullptr,
                                        nullptr,
                                        nullptr,
                                        NGX_MODULE_V1_PADDING};

ngx_module_t* ngx_modules[] = {&ngx_stream_evercert_module, nullptr};
char* ngx_module_names[] = {evercert::stream_name, nullptr};
// Before the module that would ask for a certificate.
char* ngx_module_order[] = {evercert::stream_name, evercert::ssl_name, nullptr};
}
#pragma GCC visibility pop
