// What the files of the http module share: nginx's http types stop here.
#pragma once

#include "nginx_host.h"

extern "C" {
#include <ngx_http.h>
}

#include <string>
#include <string_view>

#include "configuration.h"

namespace evercert {

// The server block's conf: created by nginx through us, merged, then bound to a host that it serves from, if any.
struct HttpServer : HostWish {
  NginxHost* host = nullptr;
  bool has_certificate = false;  // ssl_certificate in this very block
};

// --- while nginx reads its files (http_servers.cpp) ---
// In the ssl module's conf of the block being merged: nothing to load when its certificates come from us.
void take_over_certificates(ngx_conf_t* cf, HttpServer& block);
// Remembers what the ssl module has at the http level; right before the merges.
void note_upper_level(ngx_conf_t* cf);
// After the merges: finds all server blocks with evercert and binds their contexts.
ngx_int_t bind_servers(ngx_conf_t* cf);

// --- requests ---
ngx_int_t answer_challenge(ngx_http_request_t* request);
ngx_int_t show_status(ngx_http_request_t* request);
ngx_int_t add_variables(ngx_conf_t* cf);
NginxCycle& cycle_of_request(ngx_http_request_t* request);
HttpServer& server_of_request(ngx_http_request_t* request);
bool add_header(ngx_http_request_t* request, std::string_view name, std::string_view value);
// Status 200 with a whole body, or its headers for HEAD. The result is what a handler returns.
ngx_int_t send_page(ngx_http_request_t* request, std::string_view type, const std::string& body);

}  // namespace evercert
