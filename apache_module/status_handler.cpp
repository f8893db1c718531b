// The status handler: HTML, and JSON and metrics below it; and a section of mod_status's page. Sends what the agent rendered
// last; knows nothing itself.
#include <apr_optional_hooks.h>
#include <http_protocol.h>
#include <mod_status.h>

#include "evercert/status.h"
#include "http_module.h"

namespace evercert {

namespace {

int refuse_page(request_rec* request, const std::string& why) {
  ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, request, "evercert: %s", why.c_str());
  return HTTP_INTERNAL_SERVER_ERROR;
}

// The path below <Location>, which the core keeps with the directory's conf.
std::string below_location(const request_rec* request) {
  const auto* const core = static_cast<core_dir_config*>(ap_get_core_module_config(request->per_dir_config));
  const std::string_view path = text(request->uri);
  std::string_view name = text(core->d);
  while (name.ends_with('/')) name.remove_suffix(1);
  if (core->r == nullptr && path.starts_with(name) && !name.empty()) return std::string(path.substr(name.size()));
  const std::string_view last = path.substr(path.rfind('/'));
  return status_form(last) ? std::string(last) : "";
}

}  // namespace

int show_status(request_rec* request) {
  if (text(request->handler) != "evercert-status") return DECLINED;
  return guarded(static_cast<int>(HTTP_INTERNAL_SERVER_ERROR), [&]() -> int {
    if (request->method_number != M_GET) return HTTP_METHOD_NOT_ALLOWED;
    const auto form = status_form(below_location(request));
    if (!form) return HTTP_NOT_FOUND;
    const StateReader* const state = cycle().configuration().state();
    if (state == nullptr) return refuse_page(request, "there is no status: no virtual host has \"Evercert on\"");
    const auto page = status_page(*state, *form, std::chrono::system_clock::now());
    if (!page) return refuse_page(request, page.error().message);
    apr_table_setn(request->headers_out, "Cache-Control", "no-store");
    send_page(request, content_type(*form), *page);
    return OK;
  });
}

void register_server_status() {}

}  // namespace evercert
