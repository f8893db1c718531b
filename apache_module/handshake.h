// Our part of a TLS handshake: puts the current certificate into the connection. Runs at every full handshake: no system call,
// no parsing once a generation is in memory, no error left in OpenSSL's queue.
#pragma once

#include "configuration.h"

namespace evercert {

// With mod_ssl: a stand-in for hosts without any certificate, and the callback on their TLS contexts.
void register_handshake();

// Which certificate a connection was given by us; null: none, or its session was resumed.
struct Given {
  const std::string* certificate;  // lives as long as the configuration, and so longer than a connection of this process
  std::uint64_t generation;
};
const Given* given_to(const conn_rec* connection);

}  // namespace evercert
