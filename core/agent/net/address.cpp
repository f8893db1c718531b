#include "agent/net/address.h"

#include <algorithm>

#include "evercert/text.h"

namespace evercert {
namespace {

// RFC 9110 section 4.1 wants 8000 octets understood; no CA comes near this.
constexpr std::size_t longest_address = 2000;

bool is_written_well(std::string_view address) {
  return std::all_of(address.begin(), address.end(), [](char letter) { return letter > 0x20 && letter < 0x7f; });
}

bool names_user(std::string_view address) {
  const auto host = address.find("://");
  if (host == std::string_view::npos) return false;
  return address.substr(host + 3, address.find_first_of("/?#", host + 3) - host - 3).find('@') != std::string_view::npos;
}

}  // namespace

std::string origin_of(std::string_view uri) {
  const auto host = uri.find("://");
  if (host == std::string_view::npos) return std::string(uri);
  std::string origin(uri.substr(0, uri.find_first_of("/?#", host + 3)));
  if (const auto user = origin.rfind('@'); user != std::string::npos) origin.erase(host + 3, user - host - 2);
  return origin;
}

Result<Done> check_address(std::string_view address, std::string_view configured, const std::string& who,
                           const std::string& what) {
  const auto refused = [&](const std::string& why) {
    Error error{ErrorKind::connection, who + " named an address to " + what + " that " + why + "; nothing was sent to \"" +
                                           printable(origin_of(address), longest_quote) + "\""};
    error.problem = std::make_shared<const Problem>(Problem{address_not_encrypted, "", "", {}});
    return error;
  };
  if (address.size() > longest_address) return refused("is longer than " + std::to_string(longest_address) + " characters");
  if (!is_written_well(address)) return refused("has blanks or control characters in it");
  if (names_user(address)) return refused("has a user name in it");
  const bool as_configured = configured.starts_with("http://") && origin_of(address) == origin_of(configured);
  if (!address.starts_with("https://") && !as_configured) return refused("does not begin with https://");
  return Done{};
}

}  // namespace evercert
