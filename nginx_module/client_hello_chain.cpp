// nginx from 1.29.2 on: it chooses a block in the client hello callback of each context, before sessions are looked up, and has
// its protection of sessions there. Ours takes that place on the context, so it ends in nginx's on all of them.
#include "handshake.h"

namespace evercert {

namespace {

static_assert(nginx_version >= 1029002, "older nginx chooses in the servername callback: build name_callback.cpp");

int before_sessions(SSL* connection, int* alert, void* argument) {
  const auto& watch = *static_cast<const NameWatch*>(argument);
  // First: nginx's choice hands on the session's label only while the connection has its own context's.
  guarded(false, [&] {
    label_session(connection, *watch.cycle, server_name_of_hello(connection));
    return true;
  });
  const int chosen = ngx_ssl_client_hello_callback(connection, alert, nullptr);
  if (chosen != SSL_CLIENT_HELLO_SUCCESS) return chosen;
  return guarded(chosen, [&] {
    return refuses(connection, SSL_get_SSL_CTX(connection), server_name_of_hello(connection), alert) ? SSL_CLIENT_HELLO_ERROR
                                                                                                     : SSL_CLIENT_HELLO_SUCCESS;
  });
}

}  // namespace

void watch_names(SSL_CTX* context, const NameWatch& watch) {
  SSL_CTX_set_client_hello_cb(context, before_sessions, const_cast<NameWatch*>(&watch));
}

}  // namespace evercert
