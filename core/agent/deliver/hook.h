// The operator's own command, run after certificates were exported.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "evercert/result.h"

namespace evercert {

// No shell; the environment is PATH and EVERCERT_CERTIFICATES (names, separated by spaces). Its output goes nowhere. One that
// takes too long is killed. Errors: internal (it could not be run, or ended otherwise than with 0).
Result<Done> run_hook(const std::vector<std::string>& command, const std::vector<std::string>& certificates,
                      std::chrono::seconds patience);

}  // namespace evercert
