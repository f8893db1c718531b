// Why an ACME server made an order invalid: the order's own problem and those of its challenges (RFC 8555 sections 7.1.3 and
// 8), as one error for the operator. Used by the ACME issuer; asks nobody.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "agent/acme/order.h"

namespace evercert {

// `authorizations`: as many of the order's as could be read. `who` names the server.
Error why_invalid(const std::string& who, const OrderResource& order, const std::vector<AuthorizationResource>& authorizations,
                  std::chrono::system_clock::time_point now);

}  // namespace evercert
