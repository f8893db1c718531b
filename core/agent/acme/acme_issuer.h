// The issuer for CAs that speak ACME (RFC 8555). Sends the fewest requests that the protocol allows: newOrder, one read and one
// answer per authorization, one look at the order, finalize, one more look where the CA takes its time, the download.
#pragma once

#include <memory>

#include "agent/issuer/issuer.h"
#include "agent/issuer/surroundings.h"
#include "agent/net/http_client.h"

namespace evercert {

std::unique_ptr<Issuer> make_acme_issuer(const IssuerSpec& spec, std::unique_ptr<HttpClient> http,
                                         const IssuerSurroundings& surroundings);

}  // namespace evercert
