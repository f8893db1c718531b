// The status location: HTML, and JSON and metrics below it. Sends what the agent rendered last; knows nothing itself.
#include "evercert/status.h"
#include "http_module.h"

namespace evercert {

namespace {

ngx_int_t refuse_page(ngx_http_request_t* request, const std::string& why) {
  ngx_log_error(NGX_LOG_ERR, request->connection->log, 0, "evercert: %*s", why.size(), why.data());
  return NGX_HTTP_INTERNAL_SERVER_ERROR;
}

std::string_view below_location(ngx_http_request_t* request) {
  const auto* const location =
      static_cast<ngx_http_core_loc_conf_t*>(ngx_http_get_module_loc_conf(request, ngx_http_core_module));
  const std::string_view path = text(request->uri);
  const std::string_view name = text(location->name);
  return path.starts_with(name) ? path.substr(name.size()) : std::string_view();
}

}  // namespace

ngx_int_t show_status(ngx_http_request_t* request) {
  return guarded<ngx_int_t>(NGX_HTTP_INTERNAL_SERVER_ERROR, [&]() -> ngx_int_t {
    if ((request->method & (NGX_HTTP_GET | NGX_HTTP_HEAD)) == 0) return NGX_HTTP_NOT_ALLOWED;
    std::string rest(below_location(request));
    // `location /evercert/` ends in the separator already.
    if (!rest.empty() && rest.front() != '/') rest.insert(0, "/");
    const auto form = status_form(rest);
    if (!form) return NGX_HTTP_NOT_FOUND;
    if (const ngx_int_t result = ngx_http_discard_request_body(request); result != NGX_OK) return result;
    const StateReader* const state = cycle_of_request(request).configuration().state();
    if (state == nullptr) return refuse_page(request, "there is no status: no server block has \"evercert on\"");
    const auto page = status_page(*state, *form, std::chrono::system_clock::now());
    if (!page) return refuse_page(request, page.error().message);
    if (!add_header(request, "Cache-Control", "no-store")) return NGX_HTTP_INTERNAL_SERVER_ERROR;
    return send_page(request, content_type(*form), *page);
  });
}

}  // namespace evercert
