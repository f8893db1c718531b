// HAProxy's stats socket, to exchange a certificate that HAProxy has loaded from a file. For builds without Lua.
// Rule: one command at a time, each on a connection of its own; after any failure the transaction is aborted, because HAProxy
// 2.6 would apply the next one to it whatever certificate that names.
#pragma once

#include <string>

#include "evercert/pem.h"

namespace evercert {

// `file`: as HAProxy knows it, its path. The content has been proved before. Errors: connection (nobody answers), internal
// (HAProxy refuses; with its own words).
Result<Done> exchange_certificate(const std::string& socket_path, const std::string& file, const Secret& content);

// Has HAProxy's master start new workers, over its own socket (haproxy -S).
Result<Done> reload_by_master(const std::string& socket_path);

}  // namespace evercert
