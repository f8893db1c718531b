#include "serving/config/spelling.h"

#include <array>
#include <utility>

#include "serving/base/json.h"

namespace evercert {

namespace {

// Certificate options that stand as words of `evercert_certificate` or `evercert`, not as directives of their own.
constexpr std::array<std::array<std::string_view, 3>, 4> inside_directives = {{
    {"issuer", "evercert_certificate ISSUER", "EvercertCertificate ISSUER"},
    {"identifiers", "evercert_certificate ISSUER NAME...", "EvercertCertificate ISSUER NAME..."},
    {"name", "evercert_certificate ISSUER name=NAME", "EvercertCertificate ISSUER name=NAME"},
    {"each", "evercert each", "Evercert each"},
}};

std::size_t end_of_word(std::string_view text, std::size_t at) {
  while (at < text.size() && ((text[at] >= 'a' && text[at] <= 'z') || (text[at] >= '0' && text[at] <= '9') || text[at] == '_'))
    ++at;
  return at;
}

// Not a piece of a path, of a longer name or of an address.
bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  if (begin > 0 && std::string_view(" \"(").find(text[begin - 1]) == std::string_view::npos) return false;
  if (end == text.size()) return true;
  if (text[end] == '.') return end + 1 == text.size() || text[end + 1] == ' ';
  return std::string_view(" \",;:)").find(text[end]) != std::string_view::npos;
}

// A name with an underscore is no other word; one without is an option where the sentence says so.
const Option* option_in(std::string_view text, std::size_t begin, std::string_view word, Scope scope, std::string_view about) {
  const std::string_view before = text.substr(0, begin);
  const bool named = before.ends_with("option ") || before.ends_with("option \"");
  const bool spoken_of = word == about && (before.empty() || before.ends_with('"') || before.ends_with("write: "));
  if (word.find('_') == std::string_view::npos && !named && !spoken_of) return nullptr;
  // "the global state_path", whatever the sentence is about.
  const Scope first = before.ends_with("global ") ? Scope::global : scope;
  for (const Scope where : {first, Scope::global, Scope::certificate, Scope::issuer})
    if (const Option* const option = find_option(where, word)) return option;
  return nullptr;
}

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
  if (server.starts_with("nginx")) return Spelling::nginx;
  return server.starts_with("Apache") ? Spelling::apache : Spelling::json;
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

std::string spelled(std::string_view sentence, std::string_view server, const Place& place, Scope scope,
                    std::string_view about) {
  const Spelling spelling = spelling_of(server, place);
  if (spelling == Spelling::json) return std::string(sentence);
  std::string result;
  for (std::size_t at = 0; at < sentence.size();) {
    const std::size_t end = end_of_word(sentence, at);
    if (end == at) {
      result += sentence[at++];
      continue;
    }
    const std::string_view word = sentence.substr(at, end - at);
    const Option* const option = stands_alone(sentence, at, end) ? option_in(sentence, at, word, scope, about) : nullptr;
    const std::string spelt = option == nullptr ? "" : spell(*option, spelling);
    result += spelt.empty() ? word : spelt;
    at = end;
  }
  return result;
}

std::string spell_setting(const Option& option, Spelling spelling, const std::string& value) {
  if (spelling == Spelling::json) return dump_json(Json(option.name)) + ": " + dump_json(Json(value));
  return spell(option, spelling) + " " + value + (spelling == Spelling::nginx ? ";" : "");
}

std::string state_path_advice(const Settings& settings, std::string_view server, const std::string& path) {
  const Option& option = *find_option(Scope::global, "state_path");
  const Setting* const written = find_setting(settings.global, option.name);
  Place place = written == nullptr ? settings.global.place : written->place;
  if (place.file.empty() && !settings.issuers.empty()) place = settings.issuers.front().place;
  const Spelling spelling = spelling_of(server, place);
  const std::string text = "write " + spell_setting(option, spelling, path);
  // Whoever refuses names the line that is there.
  if (written != nullptr || place.file.empty()) return text;
  return text + (spelling == Spelling::json ? ", as the first after the { in " : " beside the issuer in ") + place.text();
}

std::string spell_each(Spelling spelling) {
  if (spelling == Spelling::json) return "\"each\": true";
  return spell(*find_option(Scope::certificate, "each"), spelling);
}

std::string issuer_example(Spelling spelling) {
  switch (spelling) {
    case Spelling::nginx:
      return "evercert_issuer default { uri letsencrypt; contact MAIL-ADDRESS; accept_terms_of_service; }";
    case Spelling::apache:
      return "<EvercertIssuer default> EvercertUri letsencrypt, EvercertContact MAIL-ADDRESS, "
             "EvercertAcceptTermsOfService on </EvercertIssuer>, each on a line of its own";
    case Spelling::json:
      return R"("issuers": { "default": { "uri": "letsencrypt", "contact": ["MAIL-ADDRESS"], )"
             R"("accept_terms_of_service": true } })";
  }
  return "";
}

}  // namespace evercert
