// Answers of http-01 challenges (RFC 8555 section 8.3) and the files that other CAs look for, ahead of everything a server
// block does with requests: redirects, access rules, `return 444`. Only open challenges are answered; every other request goes
// its usual way.
#include "http_module.h"

namespace evercert {

namespace {

constexpr std::string_view folder = "/.well-known/";

ngx_int_t send_answer(ngx_http_request_t* request, const std::string& answer) {
  if (const ngx_int_t result = ngx_http_discard_request_body(request); result != NGX_OK) return result;
  request->keepalive = 0;
  ngx_http_finalize_request(request, send_page(request, "application/octet-stream", answer));
  return NGX_DONE;  // any other word would let the later phases answer once more
}

}  // namespace

ngx_int_t answer_challenge(ngx_http_request_t* request) {
  const std::string_view path = text(request->uri);
  if (!path.starts_with(folder) || request != request->main) return NGX_DECLINED;
  if ((request->method & (NGX_HTTP_GET | NGX_HTTP_HEAD)) == 0) return NGX_DECLINED;
  return guarded<ngx_int_t>(NGX_DECLINED, [&]() -> ngx_int_t {
    Configuration& configuration = cycle_of_request(request).configuration();
    if (configuration.catalog() == nullptr) return NGX_DECLINED;
    const auto answer = configuration.catalog()->answer_http(text(request->headers_in.server), path, configuration.wake());
    return answer ? send_answer(request, *answer) : NGX_DECLINED;
  });
}

}  // namespace evercert
