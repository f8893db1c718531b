// nginx before 1.29.2: it chooses a block in OpenSSL's servername callback, and the client hello callback is free for ours.
#include "handshake.h"

namespace evercert {

namespace {

static_assert(nginx_version < 1029002, "newer nginx chooses in the client hello callback: build client_hello_chain.cpp");

int before_sessions(SSL* connection, int* alert, void* argument) {
  return guarded(SSL_CLIENT_HELLO_SUCCESS, [&] {
    const auto& watch = *static_cast<const NameWatch*>(argument);
    const std::string_view name = server_name_of_hello(connection);
    label_session(connection, *watch.cycle, name);
    if (watch.ahead == nullptr) return SSL_CLIENT_HELLO_SUCCESS;
    SSL_CTX* const chosen = watch.ahead(static_cast<ngx_connection_t*>(ngx_ssl_get_connection(connection)), name);
    return refuses(connection, chosen == nullptr ? SSL_get_SSL_CTX(connection) : chosen, name, alert)
               ? SSL_CLIENT_HELLO_ERROR
               : SSL_CLIENT_HELLO_SUCCESS;
  });
}

// After the server's own choice of a block: is there anything to serve?
int check_name(SSL* connection, int* alert, void* argument) {
  const auto& watch = *static_cast<const NameWatch*>(argument);
  const int chosen = watch.own == nullptr ? SSL_TLSEXT_ERR_OK : watch.own(connection, alert, nullptr);
  if (chosen == SSL_TLSEXT_ERR_ALERT_FATAL) return chosen;
  return guarded(chosen, [&] {
    const char* const name = SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name);
    return refuses(connection, SSL_get_SSL_CTX(connection), name == nullptr ? std::string_view() : name, alert)
               ? SSL_TLSEXT_ERR_ALERT_FATAL
               : chosen;
  });
}

void* argument_of(const NameWatch& watch) {
  return const_cast<NameWatch*>(&watch);
}

}  // namespace

void watch_names(SSL_CTX* context, const NameWatch& watch) {
  SSL_CTX_set_client_hello_cb(context, before_sessions, argument_of(watch));
  // Set where nginx's own cannot be called from ours, it would take its place.
  if (watch.ahead != nullptr) return;
  SSL_CTX_set_tlsext_servername_callback(context, check_name);
  SSL_CTX_set_tlsext_servername_arg(context, argument_of(watch));
}

}  // namespace evercert
