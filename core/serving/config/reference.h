// The reference page of all options, printed from the option table. Committed as docs/reference/options.md; a test compares.
#pragma once

#include <string>

namespace evercert {

std::string options_reference();

}  // namespace evercert
