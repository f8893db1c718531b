#include <algorithm>

#include "evercert/board.h"
#include "evercert/catalog.h"

namespace evercert {

// RFC 4343: names compare without regard to the case of ASCII letters. RFC 6066 section 3 forbids the trailing dot, but
// clients send it.
std::string NameIndex::normal(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  std::string normal(name);
  std::transform(normal.begin(), normal.end(), normal.begin(),
                 [](char letter) { return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter; });
  return normal;
}

void NameIndex::add(const Identifier& identifier, CertificateSlot slot) {
  if (!first_) first_ = slot;
  if (identifier.kind == IdentifierKind::dns && identifier.is_wildcard())
    wildcard_.emplace(normal(std::string_view(identifier.value).substr(2)), slot);
  else
    exact_.emplace(normal(identifier.value), slot);
}

std::optional<CertificateSlot> NameIndex::find_named(std::string_view server_name) const {
  const std::string name = normal(server_name);
  if (const auto found = exact_.find(name); found != exact_.end()) return found->second;
  const std::size_t dot = name.find('.');
  if (dot != std::string::npos && dot > 0)
    if (const auto found = wildcard_.find(name.substr(dot + 1)); found != wildcard_.end()) return found->second;
  return std::nullopt;
}

std::optional<CertificateSlot> NameIndex::find(std::string_view server_name) const {
  const auto named = server_name.empty() ? std::nullopt : find_named(server_name);
  return named ? named : first_;
}

bool NameIndex::has(std::string_view server_name) const {
  return find_named(server_name).has_value();
}

}  // namespace evercert
