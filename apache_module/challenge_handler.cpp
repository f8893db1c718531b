// Answers of http-01 challenges (RFC 8555 section 8.3) and the files that other CAs look for, ahead of everything a host does
// with requests: redirects, access rules, rewriting. Only open challenges are answered; every other request goes its usual way.
#include <http_protocol.h>
#include <http_ssl.h>

#include "http_module.h"

namespace evercert {

namespace {

bool send_answer(request_rec* request, std::string_view path) {
  Configuration& configuration = cycle().configuration();
  if (configuration.catalog() == nullptr) return false;
  const auto answer = configuration.catalog()->answer_http(text(request->hostname), path, configuration.wake());
  if (!answer) return false;
  ap_discard_request_body(request);
  request->connection->keepalive = AP_CONN_CLOSE;
  send_page(request, "application/octet-stream", *answer);
  return true;
}

// What a client of a stand-in gets: no browser shall think that it spoke to the host.
bool has_nothing_to_show(const request_rec* request) {
  const ApacheHost* const host = host_of(request->server);
  if (host == nullptr || host->has_own) return false;
  const conn_rec* const link = request->connection->master != nullptr ? request->connection->master : request->connection;
  return ap_ssl_conn_is_ssl(const_cast<conn_rec*>(link)) != 0 &&
         !host->cycle->configuration().servable(*host, text(request->hostname));
}

}  // namespace

int answer_challenge(request_rec* request) {
  return guarded(DECLINED, [&] {
    const std::string_view path = text(request->parsed_uri.path);
    const bool is_challenge =
        path.starts_with("/.well-known/acme-challenge/") || path.starts_with("/.well-known/pki-validation/");
    if (is_challenge && request->method_number == M_GET && send_answer(request, path)) return DONE;
    if (is_challenge || !has_nothing_to_show(request)) return DECLINED;
    apr_table_setn(request->err_headers_out, "Retry-After", "10");
    return static_cast<int>(HTTP_SERVICE_UNAVAILABLE);
  });
}

}  // namespace evercert
