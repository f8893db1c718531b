// Apache's spelling of the option table. Setters hand strings with their place to set() and judge nothing else: what is
// sensible is decided once, over everything, by ApacheCycle::check().
#pragma once

#include "apache_host.h"

namespace evercert {

// All directives of the module; static, Apache keeps pointers into it.
const command_rec* directives();

}  // namespace evercert
