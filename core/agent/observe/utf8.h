// Text that others wrote, made fit for pages that promise UTF-8: status pages and metrics. A scraper drops a whole page for
// one bad byte.
#pragma once

#include <string>
#include <string_view>

namespace evercert {

// The same text with every ill-formed sequence (RFC 3629: overlong forms, surrogates, truncation) replaced by U+FFFD.
std::string valid_utf8(std::string_view text);

}  // namespace evercert
