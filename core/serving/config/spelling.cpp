#include "serving/config/spelling.h"

#include <array>
#include <utility>

namespace evercert {

namespace {

// Certificate options that stand as words of `evercert_certificate` or `evercert`, not as directives of their own.
constexpr std::array<std::array<std::string_view, 3>, 4> inside_directives = {{
    {"issuer", "evercert_certificate ISSUER", "EvercertCertificate ISSUER"},
    {"identifiers", "evercert_certificate ISSUER NAME...", "EvercertCertificate ISSUER NAME..."},
    {"name", "evercert_certificate ISSUER name=NAME", "EvercertCertificate ISSUER name=NAME"},
    {"each", "evercert each", "Evercert each"},
}};

}  // namespace

std::string camel_case(std::string_view name) {
  std::string result;
  bool upper = true;
  for (const char character : name) {
    if (character == '_') {
      upper = true;
      continue;
    }
    result += upper && character >= 'a' && character <= 'z' ? static_cast<char>(character - 'a' + 'A') : character;
    upper = false;
  }
  return result;
}

Spelling spelling_of(std::string_view server, const Place& place) {
  if (place.file.ends_with(".json")) return Spelling::json;
  return server.starts_with("Apache") ? Spelling::apache : Spelling::nginx;
}

std::string spell(const Option& option, Spelling spelling) {
  std::string name(option.name);
  if (spelling == Spelling::json) return name;
  if (option.from_server) return "";
  if (option.scope == Scope::certificate)
    for (const auto& [word, in_nginx, in_apache] : inside_directives)
      if (word == option.name) return std::string(spelling == Spelling::nginx ? in_nginx : in_apache);
  if (spelling == Spelling::apache) return "Evercert" + camel_case(name);
  return option.scope == Scope::issuer ? name : "evercert_" + name;
}

std::string spell_each(Spelling spelling) {
  if (spelling == Spelling::json) return "\"each\": true";
  return spell(*find_option(Scope::certificate, "each"), spelling);
}

std::string issuer_example(Spelling spelling) {
  switch (spelling) {
    case Spelling::nginx:
      return "evercert_issuer default { uri https://HOST/DIRECTORY; contact MAIL-ADDRESS; accept_terms_of_service; }";
    case Spelling::apache:
      return "<EvercertIssuer default> EvercertUri https://HOST/DIRECTORY, EvercertContact MAIL-ADDRESS, "
             "EvercertAcceptTermsOfService on </EvercertIssuer>, each on a line of its own";
    case Spelling::json:
      return R"("issuers": { "default": { "uri": "https://HOST/DIRECTORY", "contact": ["MAIL-ADDRESS"], )"
             R"("accept_terms_of_service": true } })";
  }
  return "";
}

}  // namespace evercert
