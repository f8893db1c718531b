// What the writing and the reading side of a Cycle agree upon.
//
// The secrets are {"format":1,"seal":{"id","serving":base64,"agent":base64},"files":{path:base64}}.
#pragma once

#include <fcntl.h>

namespace evercert {

constexpr unsigned carried_format = 1;
constexpr int final_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;

}  // namespace evercert
