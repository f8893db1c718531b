// Our part of a TLS handshake, the same for http and stream: refuses names that have nothing to serve, keeps sessions of
// different names apart, puts the current certificate into the connection. Runs at every handshake: no system call, no
// parsing once a generation is in memory, no error left in OpenSSL's queue.
#pragma once

#include <openssl/ssl.h>

#include "configuration.h"

namespace evercert {

using ServerNameCallback = int (*)(SSL*, int*, void*);

// On the context of a server block of ours: serve from `host`, which outlives the context. `own_context` also tells blocks
// apart whose clients show certificates.
bool serve_from(SSL_CTX* context, NginxHost& host, std::string_view own_context);

// On every context that may be a listener's default, ours or not, since the first steps of a handshake run there.
// `before` is the server's own callback, called first; it chooses the server block.
void watch_names(SSL_CTX* context, NginxCycle& cycle, ServerNameCallback before);

// What `host` would serve for a name now; null when nothing of ours.
std::shared_ptr<const ServedCertificate> certificate_for(NginxHost& host, std::string_view server_name);

}  // namespace evercert
