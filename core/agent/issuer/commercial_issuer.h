// The issuer for commercial CAs: carries an order through validation of its names, people and issuance over whichever
// CommercialApi the CA speaks. Falls back from one way of proving to the next.
#pragma once

#include <memory>

#include "agent/issuer/commercial_api.h"
#include "agent/issuer/issuers.h"

namespace evercert {

std::unique_ptr<Issuer> make_commercial_issuer(const IssuerSpec& spec, std::unique_ptr<CommercialApi> api,
                                               const IssuerSurroundings& surroundings);

}  // namespace evercert
