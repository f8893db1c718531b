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

// nginx opens no file of its own here: the descriptor goes to the request, and what is sent is read as it leaves.
ngx_int_t send_file(ngx_http_request_t* request, std::string_view type, StatusPage& page) {
  request->headers_out.status = NGX_HTTP_OK;
  request->headers_out.content_length_n = static_cast<off_t>(page.size());
  request->headers_out.content_type = pool_text(request->pool, type);
  request->headers_out.content_type_len = type.size();
  ngx_chain_t* chain = nullptr;
  if (page.length > 0) {
    ngx_pool_cleanup_t* const cleanup = ngx_pool_cleanup_add(request->pool, sizeof(ngx_pool_cleanup_file_t));
    auto* const file = static_cast<ngx_file_t*>(ngx_pcalloc(request->pool, sizeof(ngx_file_t)));
    auto* const buffer = static_cast<ngx_buf_t*>(ngx_calloc_buf(request->pool));
    chain = ngx_alloc_chain_link(request->pool);
    if (cleanup == nullptr || file == nullptr || buffer == nullptr || chain == nullptr) return NGX_HTTP_INTERNAL_SERVER_ERROR;
    file->name = pool_text(request->pool, "evercert's status");  // for the log
    file->log = request->connection->log;
    file->fd = page.file.release();
    auto* const closing = static_cast<ngx_pool_cleanup_file_t*>(cleanup->data);
    closing->fd = file->fd;
    closing->name = file->name.data;
    closing->log = request->pool->log;
    cleanup->handler = ngx_pool_cleanup_file;
    buffer->file = file;
    buffer->in_file = 1;
    buffer->file_pos = static_cast<off_t>(page.from);
    buffer->file_last = static_cast<off_t>(page.from + page.length);
    buffer->last_buf = request == request->main ? 1 : 0;
    buffer->last_in_chain = 1;
    chain->buf = buffer;
    chain->next = nullptr;
  }
  if (!page.before.empty() || chain == nullptr) {
    auto* const buffer = static_cast<ngx_buf_t*>(ngx_calloc_buf(request->pool));
    ngx_chain_t* const first = ngx_alloc_chain_link(request->pool);
    if (buffer == nullptr || first == nullptr) return NGX_HTTP_INTERNAL_SERVER_ERROR;
    buffer->pos = buffer->start = pool_text(request->pool, page.before).data;
    buffer->last = buffer->end = buffer->pos + page.before.size();
    buffer->memory = page.before.empty() ? 0 : 1;
    buffer->last_buf = chain == nullptr && request == request->main ? 1 : 0;
    buffer->last_in_chain = chain == nullptr ? 1 : 0;
    first->buf = buffer;
    first->next = chain;
    chain = first;
  }
  const ngx_int_t sent = ngx_http_send_header(request);
  if (sent == NGX_ERROR || sent > NGX_OK || request->header_only) return sent;
  return ngx_http_output_filter(request, chain);
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
    auto page = status_page(*state, *form, std::chrono::system_clock::now());
    if (!page) return refuse_page(request, page.error().message);
    for (const StatusHeader& header : status_headers)
      if (!add_header(request, header.name, header.value)) return NGX_HTTP_INTERNAL_SERVER_ERROR;
    return send_file(request, content_type(*form), *page);
  });
}

}  // namespace evercert
