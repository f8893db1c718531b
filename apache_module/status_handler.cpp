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

// Never from a mapping: whoever cuts the file off would end this process by SIGBUS. The request gets a descriptor of its own:
// httpd leaves one that was put into its hands open once the connection has taken it over.
bool send(request_rec* request, const StatusPage& page) {
  if (!page.before.empty()) ap_rwrite(page.before.data(), static_cast<int>(page.before.size()), request);
  if (page.length == 0) return true;
  apr_file_t* ours = nullptr;
  apr_file_t* file = nullptr;
  apr_os_file_t number = page.file.get();
  if (apr_os_file_put(&ours, &number, APR_FOPEN_READ, request->pool) != APR_SUCCESS) return false;
  if (apr_file_dup(&file, ours, request->pool) != APR_SUCCESS) return false;
  apr_bucket_alloc_t* const allocator = request->connection->bucket_alloc;
  apr_bucket_brigade* const brigade = apr_brigade_create(request->pool, allocator);
  apr_bucket* const bucket =
      apr_bucket_file_create(file, static_cast<apr_off_t>(page.from), page.length, request->pool, allocator);
  apr_bucket_file_enable_mmap(bucket, 0);
  APR_BRIGADE_INSERT_TAIL(brigade, bucket);
  return ap_pass_brigade(request->output_filters, brigade) == APR_SUCCESS;
}

constexpr std::size_t section_portion = std::size_t{32} << 10;

// For people who look at mod_status's page, or let a program look at "?auto".
int add_section(request_rec* request, int flags) {
  return guarded(DECLINED, [&] {
    const StateReader* const state = cycle().configuration().state();
    if (state == nullptr) return DECLINED;
    const auto form = (flags & AP_STATUS_SHORT) != 0 ? SectionForm::lines : SectionForm::html;
    const auto section = status_section(*state, form, std::chrono::system_clock::now());
    if (!section) return DECLINED;
    // In portions, as anything that becomes of a file whose size another user decides.
    SectionText text(form);
    const auto put = [&](const std::string& part) {
      return part.empty() || ap_rwrite(part.data(), static_cast<int>(part.size()), request) >= 0;
    };
    for (std::uint64_t sent = 0; sent < section->size();) {
      const auto bytes = read_page(*section, sent, section_portion);
      if (!bytes || bytes->empty()) break;
      sent += bytes->size();
      if (!put(text.part(*bytes))) return DECLINED;
    }
    return put(text.end()) ? OK : DECLINED;
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
    for (const StatusHeader& header : status_headers)
      apr_table_setn(request->headers_out, header.name.data(), header.value.data());
    const std::string_view type = content_type(*form);
    ap_set_content_type(request, apr_pstrmemdup(request->pool, type.data(), type.size()));
    ap_set_content_length(request, static_cast<apr_off_t>(page->size()));
    if (request->header_only == 0) send(request, *page);
    return OK;
  });
}

void register_server_status() {
  APR_OPTIONAL_HOOK(ap, status_hook, add_section, nullptr, nullptr, APR_HOOK_MIDDLE);
}

}  // namespace evercert
