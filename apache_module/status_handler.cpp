// The status handler: HTML, and JSON and metrics below it; and a section of mod_status's page. Sends what the agent rendered
// last; knows nothing itself.
#include <apr_optional_hooks.h>
#include <http_protocol.h>
#include <mod_status.h>

#include <map>

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

std::string escaped(request_rec* request, const std::string& words) {
  return ap_escape_html(request->pool, words.c_str());
}

// For people who look at mod_status's page, or let a program look at "?auto".
void add_lines(request_rec* request, const StatusSummary& summary) {
  std::map<std::string, unsigned> states;
  for (const auto& line : summary.lines) ++states[line.state];
  ap_rprintf(request, "EvercertAgent: %s\nEvercertCertificates: %u\n", summary.agent.c_str(),
             static_cast<unsigned>(summary.lines.size()));
  for (const auto& [state, count] : states) ap_rprintf(request, "EvercertState%s: %u\n", camel_case(state).c_str(), count);
}

void add_table(request_rec* request, const StatusSummary& summary) {
  ap_rprintf(request,
             "<hr />\n<h2>evercert (agent: %s)</h2>\n<table border=\"0\"><tr><th>Certificate</th><th>State</th><th>Until</th>"
             "<th>Served generation</th><th>Next</th><th>Problem</th></tr>\n",
             escaped(request, summary.agent).c_str());
  for (const auto& line : summary.lines) {
    ap_rputs("<tr>", request);
    for (const auto& words : {line.certificate, line.state, line.not_after, line.served_generation, line.next, line.problem})
      ap_rprintf(request, "<td>%s</td>", escaped(request, words).c_str());
    ap_rputs("</tr>\n", request);
  }
  ap_rputs("</table>\n", request);
}

int add_section(request_rec* request, int flags) {
  return guarded(DECLINED, [&] {
    const StateReader* const state = cycle().configuration().state();
    if (state == nullptr) return DECLINED;
    const auto summary = status_summary(*state, std::chrono::system_clock::now());
    if (!summary) return DECLINED;
    if ((flags & AP_STATUS_SHORT) != 0)
      add_lines(request, *summary);
    else
      add_table(request, *summary);
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
    if (state == nullptr) return refuse_page(request, "there is no status: no virtual host has \"Evercert on\"");
    const auto page = status_page(*state, *form, std::chrono::system_clock::now());
    if (!page) return refuse_page(request, page.error().message);
    apr_table_setn(request->headers_out, "Cache-Control", "no-store");
    send_page(request, content_type(*form), *page);
    return OK;
  });
}

void register_server_status() {
  APR_OPTIONAL_HOOK(ap, status_hook, add_section, nullptr, nullptr, APR_HOOK_MIDDLE);
}

}  // namespace evercert
