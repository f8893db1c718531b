// Server blocks of stream{}: before nginx 1.25.5 one for each listener, since then chosen by name as in http{}. One of two
// sources is built, by nginx's version: stream_blocks_by_listener.cpp or stream_blocks_by_name.cpp.
#pragma once

#include "nginx_host.h"

extern "C" {
#include <ngx_stream.h>
#include <ngx_stream_ssl_module.h>
}

#include "handshake.h"

namespace evercert {

#if nginx_version >= 1025005
using StreamSsl = ngx_stream_ssl_srv_conf_t;
#else
using StreamSsl = ngx_stream_ssl_conf_t;
#endif

// Names, TLS listeners and what would keep a certificate of ours from being served.
HostFacts stream_facts(const ngx_stream_core_main_conf_t& main, const ngx_stream_core_srv_conf_t& server);

// Does the first step of a handshake run on contexts of blocks that are not ours, too?
extern const bool stream_blocks_have_names;
extern const ContextChoice stream_choice;

}  // namespace evercert
