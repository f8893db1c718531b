// Our part of a TLS handshake, the same for http and stream: refuses names that have nothing to serve, keeps sessions of
// different names apart, puts the current certificate into the connection. Runs at every handshake: no system call, no
// parsing once a generation is in memory, no error left in OpenSSL's queue.
#pragma once

#include <openssl/ssl.h>

#include "configuration.h"

namespace evercert {

using ServerNameCallback = int (*)(SSL*, int*, void*);
// The context of the block that the server is going to choose for a name; null when it stays with the listener's own.
using ContextChoice = SSL_CTX* (*)(const ngx_connection_t* connection, std::string_view server_name);

// What runs before a name is known, on the contexts of one subsystem. Lives as long as its cycle.
struct NameWatch {
  NginxCycle* cycle = nullptr;
  // How nginx before 1.29.2 chooses a block: by a callback of its own that ours calls first, or, where that cannot be called
  // from outside, by what it answers when it is asked ahead. Neither where a listener has one block only.
  ServerNameCallback own = nullptr;
  ContextChoice ahead = nullptr;
};

// On the context of a server block of ours: serve from `host`, which outlives the context. `own_context` also tells blocks
// apart whose clients show certificates.
bool serve_from(SSL_CTX* context, NginxHost& host, std::string_view own_context);

// On every context that may be a listener's default, ours or not, since the first steps of a handshake run there. One of two
// sources is built, by nginx's version: name_callback.cpp or client_hello_chain.cpp.
void watch_names(SSL_CTX* context, const NameWatch& watch);

// What `host` would serve for a name now; null when nothing of ours.
std::shared_ptr<const ServedCertificate> certificate_for(NginxHost& host, std::string_view server_name);

// --- steps of both watch_names ---

// RFC 6066 section 3: a list with one host name in it. Empty when there is none. Inside a client hello callback only.
std::string_view server_name_of_hello(SSL* connection);

// A session is looked up before the server block is chosen, under the identity of the listener's default block. So the
// connection is labelled before that: sessions of a name of ours are resumed for the same name on the same listener, by
// tickets as by identifiers, and never carry the client's certificate into another block.
void label_session(SSL* connection, const NginxCycle& cycle, std::string_view server_name);

// Is `context` that of a block of ours with nothing to serve for the name? Then the handshake is marked as refused, for
// nginx's log, and the alert is set (RFC 6066 section 3: unrecognized_name).
bool refuses(SSL* connection, SSL_CTX* context, std::string_view server_name, int* alert);

}  // namespace evercert
