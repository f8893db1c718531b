// Makes the issuer for a specification: the one place that knows which kinds of CA there are.
#pragma once
#include <memory>

#include "agent/issuer/surroundings.h"

namespace evercert {

// Errors: configuration, for a type that nobody knows.
Result<std::unique_ptr<Issuer>> make_issuer(const IssuerSpec& spec, const IssuerSurroundings& surroundings);

}  // namespace evercert
