// What our account has ordered at an ACME server so far (RFC 8555 section 7.1.2.1), to find again what an interrupted call left
// behind. Bounded, however long the history is; a server that keeps no such list is no error.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/acme/account.h"

namespace evercert {

// Where the list is, if the account names one. Asks the server: it knows us, then.
Result<std::optional<std::string>> order_list_of(Account& account);

// The addresses of the orders in the server's sequence. `who` names the server in errors.
Result<std::vector<std::string>> placed_orders(Account& account, const std::string& who);

}  // namespace evercert
