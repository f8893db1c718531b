// The tables that nginx looks up, and the callbacks in them. One shared object, two nginx modules: a core module, whose
// init_conf runs when everything has been read, and the http module.
#include "http_module.h"

#include "directives.h"

extern "C" ngx_module_t ngx_evercert_module;

namespace evercert {

namespace {

DirectiveTable http_directives;

char* set_status(ngx_conf_t* cf, ngx_command_t*, void*) {
  auto* const location = static_cast<ngx_http_core_loc_conf_t*>(ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module));
  location->handler = [](ngx_http_request_t* request) { return show_status(request); };
  return static_cast<char*>(NGX_CONF_OK);
}

void* create_cycle(ngx_cycle_t* cycle) {
  return guarded<void*>(nullptr, [&]() -> void* {
    if (http_directives.commands[0].name.len == 0) {
      http_directives.commands[0] = {
          ngx_string("evercert_status"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS, set_status, 0, 0, nullptr};
      if (!fill_directives(http_directives, {NGX_HTTP_MAIN_CONF, NGX_HTTP_SRV_CONF, NGX_HTTP_SRV_CONF_OFFSET})) return nullptr;
    }
    return pool_new<NginxCycle>(cycle->pool, cycle);
  });
}

char* finish_cycle(ngx_cycle_t*, void* cycle) {
  auto* const refused = static_cast<char*>(NGX_CONF_ERROR);
  return guarded(refused, [&] { return static_cast<NginxCycle*>(cycle)->finish() == NGX_OK ? NGX_CONF_OK : refused; });
}

// In every child, whatever its configuration says: another process of the same user must not look into it.
ngx_int_t protect_process(ngx_cycle_t* cycle) {
  const Result<Done> settled = ngx_process == NGX_PROCESS_SINGLE ? make_undumpable() : settle_child();
  if (!settled) log_words(NGX_LOG_ERR, cycle->log, settled.error().message);
  return NGX_OK;
}

ngx_int_t begin_process(ngx_cycle_t* cycle) {
  return guarded<ngx_int_t>(NGX_OK, [&] {
    cycle_of(cycle)->begin_process();
    return NGX_OK;
  });
}

ngx_int_t before_http(ngx_conf_t* cf) {
  return guarded<ngx_int_t>(NGX_ERROR, [&] { return add_variables(cf); });
}

ngx_int_t after_http(ngx_conf_t* cf) {
  return guarded<ngx_int_t>(NGX_ERROR, [&] { return bind_servers(cf); });
}

char* before_merges(ngx_conf_t* cf, void*) {
  return guarded(static_cast<char*>(NGX_CONF_ERROR), [&] {
    note_upper_level(cf);
    return static_cast<char*>(NGX_CONF_OK);
  });
}

void* create_server(ngx_conf_t* cf) {
  return guarded<void*>(nullptr, [&] { return pool_new<HttpServer>(cf->pool); });
}

char* merge_server(ngx_conf_t* cf, void* parent, void* child) {
  return guarded(static_cast<char*>(NGX_CONF_ERROR), [&] {
    static_cast<HttpServer*>(child)->inherit(*static_cast<HttpServer*>(parent));
    take_over_certificates(cf, *static_cast<HttpServer*>(child));
    return static_cast<char*>(NGX_CONF_OK);
  });
}

// nginx takes them as char*, though it only reads them.
char core_name[] = "ngx_evercert_module";
char log_name[] = "ngx_errlog_module";
char http_name[] = "ngx_http_evercert_module";
char ssl_name[] = "ngx_http_ssl_module";

ngx_core_module_t core_context{ngx_string("evercert"), create_cycle, finish_cycle};
ngx_http_module_t http_context{before_http, after_http, nullptr, before_merges, create_server, merge_server, nullptr, nullptr};

}  // namespace

}  // namespace evercert

// What nginx looks up by name; everything else is hidden.
#pragma GCC visibility push(default)
extern "C" {
ngx_module_t ngx_evercert_module{NGX_MODULE_V1, &evercert::core_context,   nullptr, NGX_CORE_MODULE, nullptr,
                                 nullptr,       evercert::protect_process, nullptr, nullptr,         nullptr,
                                 nullptr,       NGX_MODULE_V1_PADDING};
ngx_module_t ngx_http_evercert_module{NGX_MODULE_V1,
                                      &evercert::http_context,
                                      evercert::http_directives.commands.data(),
                                      NGX_HTTP_MODULE,
                                      nullptr,
                                      nullptr,
                                      evercert::begin_process,
                                      nullptr,
                                      nullptr,
                                      nullptr,
                                      nullptr,
                                      NGX_MODULE_V1_PADDING};

ngx_module_t* ngx_modules[] = {&ngx_evercert_module, &ngx_http_evercert_module, nullptr};
char* ngx_module_names[] = {evercert::core_name, evercert::http_name, nullptr};
// Each before what follows it: the core module early, so that a new process protects itself before others of its modules
// run; the http module before the one that would ask for a certificate.
char* ngx_module_order[] = {evercert::core_name, evercert::log_name, evercert::http_name, evercert::ssl_name, nullptr};
}
#pragma GCC visibility pop
