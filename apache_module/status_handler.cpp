// The status handler: HTML, and JSON and metrics below it; and a section of mod_status's page. Sends what the agent rendered
// last; knows nothing itself.
#include <apr_hooks.h>
#include <apr_optional_hooks.h>
#include <http_protocol.h>
#include <mod_status.h>

#include "evercert/status.h"
#include "http_module.h"

namespace evercert {
namespace {

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

// For people who look at mod_status's page, or let a program look at "?auto".
int add_section(request_rec* request, int flags) {
  return guarded(DECLINED, [&] {
    const StateReader* const state = cycle().configuration().state();
    if (state == nullptr) return DECLINED;
    const auto form = (flags & AP_STATUS_SHORT) != 0 ? SectionForm::lines : SectionForm::html;
    const auto section = status_section(*state, form, std::chrono::system_clock::now());
    if (!section) return DECLINED;
    ap_rputs(section->c_str(), request);
    return OK;
  });
}

}  // namespace

int show_status(request_rec* request) {
  if (text(request->handler) != "evercert-status") return DECLINED;
  return guarded(static_cast<int>(HTTP_INTERNAL_SERVER_ERROR), [&]() -> int {
    if (request->method_number != M_GET) return HTTP_METHOD_NOT_ALLOWED;
    const auto form = status_form(below_location(request));
    if (!form) return HTTP_NOT_FOUND;
    const StateReader* const state = cycle().configuration().state();
    if (state == nullptr) return HTTP_NOT_FOUND;  // no virtual host has `Evercert on`
    const auto page = status_page(*state, *form, std::chrono::system_clock::now());
    if (!page) log_line(APLOG_ERR, request->server, page.error().message);
    if (!page) return HTTP_INTERNAL_SERVER_ERROR;
    apr_table_setn(request->headers_out, "Cache-Control", "no-store");
    send_page(request, content_type(*form), *page);
    return OK;
  });
}

void register_server_status() {
  APR_OPTIONAL_HOOK(ap, status_hook, add_section, nullptr, nullptr, APR_HOOK_MIDDLE);
}

}  // namespace evercert
