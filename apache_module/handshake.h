// Our part of a TLS handshake: puts the current certificate into the connection. Runs at every full handshake: no system call,
// no parsing once a generation is in memory, no error left in OpenSSL's queue.
#pragma once

#include "configuration.h"

namespace evercert {

// With mod_ssl: a stand-in for hosts without any certificate, and the callback on their TLS contexts.
void register_handshake();

// Which certificate a connection was given by us; null: none, or its session was resumed.
struct Given {
  const char* certificate;
  const char* generation;
};
const Given* given_to(const conn_rec* connection);

}  // namespace evercert
