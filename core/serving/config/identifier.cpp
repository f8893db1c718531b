#include "serving/config/identifier.h"

#include <arpa/inet.h>
#include <idn2.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "serving/config/words.h"

namespace evercert {

namespace {

// RFC 1035 section 2.3.4, without the root's dot.
constexpr std::size_t longest_name = 253;
constexpr std::size_t longest_label = 63;
// Order records and temporary files add to it, and a file's name ends at 255 bytes.
constexpr std::size_t longest_certificate_name = 200;

struct IdnRelease {
  void operator()(char* text) const { ::idn2_free(text); }
};

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char character) { return static_cast<unsigned char>(character) < 0x80; });
}

bool is_letter_or_digit(char character) {
  return (character >= 'a' && character <= 'z') || (character >= '0' && character <= '9');
}

std::optional<Identifier> parse_address(std::string_view text) {
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') text = text.substr(1, text.size() - 2);
  const std::string copy(text);
  std::array<unsigned char, sizeof(in6_addr)> address{};
  std::array<char, INET6_ADDRSTRLEN> canonical{};
  for (const int family : {AF_INET, AF_INET6})
    if (::inet_pton(family, copy.c_str(), address.data()) == 1 &&
        ::inet_ntop(family, address.data(), canonical.data(), static_cast<socklen_t>(canonical.size())) != nullptr)
      return Identifier{IdentifierKind::ip, canonical.data()};
  return std::nullopt;
}

// A name in any script, lower case A-labels. Plain ASCII without A-labels needs no library.
Result<std::string> to_a_labels(const std::string& name) {
  if (is_ascii(name) && name.find("xn--") == std::string::npos) return name;
  char* converted = nullptr;
  const int status = ::idn2_to_ascii_8z(name.c_str(), &converted, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT);
  std::unique_ptr<char, IdnRelease> ascii(converted);
  if (status != IDN2_OK)
    return configuration_error(in_quotes(name) +
                               " cannot be written as an internationalized domain name: " + ::idn2_strerror(status));
  // An A-label that decodes to nothing valid passes the conversion; reading it back does not.
  converted = nullptr;
  const int back = ::idn2_to_unicode_8z8z(ascii.get(), &converted, 0);
  const std::unique_ptr<char, IdnRelease> unicode(converted);
  if (back != IDN2_OK) return configuration_error(in_quotes(name) + " has an invalid xn-- label: " + ::idn2_strerror(back));
  return lower_case(ascii.get());
}

// RFC 1123 section 2.1 and RFC 5890 section 2.3.1: letters, digits, hyphens inside.
Result<Done> check_label(std::string_view label, std::string_view whole) {
  const auto refused = [&](const std::string& why) { return configuration_error(in_quotes(whole) + " " + why); };
  if (label.empty()) return refused("has an empty label (two dots in a row, or a dot in front); remove the dot");
  if (label.size() > longest_label) return refused("has a label of more than 63 characters, which the DNS cannot hold");
  if (label.front() == '-' || label.back() == '-') return refused("has a label that begins or ends with a hyphen");
  for (const char character : label) {
    if (is_letter_or_digit(character) || character == '-') continue;
    if (character == '_') return refused("has an underscore in it; certificates are for host names, which have none");
    if (character == '*') return refused("has a * that is not the whole first label; write *.DOMAIN");
    return refused("has the character " + in_quotes(std::string_view(&character, 1)) +
                   " in it; a host name has letters, digits, hyphens and dots");
  }
  return Done{};
}

Result<Done> check_labels(std::string_view name, std::string_view whole) {
  std::size_t begin = 0;
  std::string_view last;
  while (begin <= name.size()) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    last = name.substr(begin, end - begin);
    if (auto good = check_label(last, whole); !good) return good;
    begin = end + 1;
  }
  if (std::all_of(last.begin(), last.end(), [](char character) { return character >= '0' && character <= '9'; }))
    return configuration_error(in_quotes(whole) + " ends in a number and is no IP address either");
  return Done{};
}

}  // namespace

Result<Identifier> parse_identifier(std::string_view text) {
  if (text.starts_with('~'))
    return configuration_error(in_quotes(text) +
                               " is a regular expression, and a certificate holds names only; list the names one by one");
  if (text.empty()) return configuration_error("an empty name cannot stand in a certificate; write a host name");
  if (has_control_characters(text)) return configuration_error(in_quotes(text) + " has a control character in it");
  if (auto address = parse_address(text)) return std::move(*address);

  const bool wildcard = text.starts_with("*.");
  auto name = to_a_labels(lower_case(wildcard ? text.substr(2) : text));
  if (!name) return name.error();
  if (name->ends_with('.')) name->pop_back();
  if (name->size() + (wildcard ? 2 : 0) > longest_name)
    return configuration_error(in_quotes(text) + " is longer than 253 characters, which the DNS cannot hold");
  if (const auto good = check_labels(*name, text); !good) return good.error();
  return Identifier{IdentifierKind::dns, wildcard ? "*." + *name : std::move(*name)};
}

Result<std::vector<Identifier>> parse_server_name(std::string_view text) {
  std::vector<Identifier> identifiers;
  if (text.empty() || text == "_") return identifiers;
  const bool both = text.size() > 1 && text.front() == '.';
  auto identifier = parse_identifier(both ? text.substr(1) : text);
  if (!identifier) return identifier.error();
  identifiers.push_back(*identifier);
  if (both) identifiers.push_back({IdentifierKind::dns, "*." + identifier->value});
  return identifiers;
}

std::string certificate_name_of(const Identifier& first) {
  std::string name = first.value;
  // "::1" and "2001:db8::" may be written "0::1" and "2001:db8::0", and a name neither begins nor ends with a hyphen.
  if (name.starts_with(':')) name.insert(0, 1, '0');
  if (name.ends_with(':')) name += '0';
  std::replace(name.begin(), name.end(), ':', '-');
  return name;
}

Result<std::string> parse_certificate_name(std::string_view text) {
  const auto address = parse_address(text);
  const std::string name = address ? certificate_name_of(*address) : lower_case(text);
  const std::string_view rest = std::string_view(name).substr(name.starts_with("*.") ? 2 : 0);
  const bool spelled = std::all_of(rest.begin(), rest.end(), [](char character) {
    return is_letter_or_digit(character) || character == '.' || character == '-' || character == '_';
  });
  // "_wildcard_" is how a * is written in the store.
  if (rest.empty() || rest.front() == '.' || rest.front() == '-' || !spelled || name.starts_with("_wildcard_"))
    return configuration_error(in_quotes(text) + " cannot name a certificate; a name has letters, digits, dots, hyphens and " +
                               "underscores, and does not begin with a dot or a hyphen");
  if (name.size() > longest_certificate_name)
    return configuration_error(in_quotes(text) + " is too long to name a certificate; give it a name of at most " +
                               std::to_string(longest_certificate_name) + " characters");
  return name;
}

}  // namespace evercert
