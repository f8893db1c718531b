#include "evercert/settings.h"

#include <algorithm>
#include <array>

#include "serving/base/bounds.h"
#include "serving/config/words.h"

namespace evercert {

namespace {

const char* block_of(Scope scope) {
  switch (scope) {
    case Scope::global:
      return "";
    case Scope::issuer:
      return " in an issuer";
    case Scope::certificate:
      return " for a certificate";
  }
  return "";
}

std::string expected_words(const Option& option) {
  const auto spelled = [](unsigned count) { return std::to_string(count) + (count == 1 ? " word" : " words"); };
  if (option.min_words == option.max_words) return spelled(option.min_words);
  if (option.max_words == 0) return "at least " + spelled(option.min_words);
  return std::to_string(option.min_words) + " to " + spelled(option.max_words);
}

// White space may stand in a key written in place; nothing else has a use for control characters.
bool acceptable(const Option& option, const std::string& word) {
  if (option.kind != ValueKind::secret_file) return !has_control_characters(word);
  return word.find('\0') == std::string::npos;
}

// The words of a setting that name files.
std::vector<std::string*> file_words(Setting& setting) {
  std::vector<std::string*> files;
  const Option& option = *setting.option;
  auto& words = setting.words;
  const auto add = [&](std::size_t index) {
    if (index < words.size() && !names_environment(words[index])) files.push_back(&words[index]);
  };
  if (option.kind == ValueKind::path && option.scope == Scope::issuer) add(0);
  if (option.name == "program" || option.name == "dns_program") add(0);
  // Zone, server and key file, as often as there are zones.
  if (option.name == "dns_update")
    for (std::size_t index = 2; index < words.size(); index += 3) add(index);
  if (option.name == "external_account_key" && words.size() > 1 && !words[1].starts_with("data:")) add(1);
  if (option.name == "account_key" && !words.empty() && names_file(words[0])) add(0);
  if (option.name == "proxy") add(2);
  if (option.name == "secret") add(0);
  return files;
}

}  // namespace

std::uint16_t port_in(const Section& section, std::string_view option, std::uint16_t otherwise) {
  for (const Setting& setting : section.settings)
    if (setting.option->name == option && !setting.words.empty())
      return static_cast<std::uint16_t>(whole_number_in(setting.words.front(), 1, 65535).value_or(otherwise));
  return otherwise;
}

std::string Place::text() const {
  return line == 0 ? file : file + ":" + std::to_string(line);
}

Result<Done> set(Section& section, Scope scope, std::string_view option, std::span<const std::string> words,
                 const Place& place) {
  const Option* const known = find_option(scope, option);
  if (known == nullptr) {
    const Option* const nearest = nearest_option(scope, option);
    return configuration_error("there is no option " + in_quotes(option) + block_of(scope) +
                               (nearest != nullptr ? "; did you mean \"" + std::string(nearest->name) + "\"?" : ""));
  }
  const std::string name(known->name);
  if (words.size() < known->min_words || (known->max_words != 0 && words.size() > known->max_words))
    return configuration_error("\"" + name + "\" takes " + expected_words(*known) + ", not " + std::to_string(words.size()) +
                               "; write: " + name + " " + std::string(known->syntax));
  if (!known->repeatable) {
    const auto earlier = std::find_if(section.settings.begin(), section.settings.end(),
                                      [&](const Setting& setting) { return setting.option == known; });
    if (earlier != section.settings.end())
      return configuration_error("\"" + name + "\" is given twice, first at " + earlier->place.text() + "; remove one");
  }
  for (const std::string& word : words)
    if (!acceptable(*known, word)) return configuration_error("\"" + name + "\" has a control character in it");
  section.settings.push_back({known, {words.begin(), words.end()}, place});
  if (scope == Scope::certificate && name == "name") section.name = words[0];
  return Done{};
}

Result<Done> set_certificate_line(Section& section, std::span<const std::string> words) {
  if (words.empty()) return configuration_error("there is no issuer; write: ISSUER[,ISSUER...] [NAME...] [key=...] [name=...]");
  std::vector<std::string> identifiers;
  Result<Done> done = set(section, Scope::certificate, "issuer", words.first(1), section.place);
  for (std::size_t i = 1; done && i < words.size(); ++i) {
    const auto equals = words[i].find('=');
    if (equals == std::string::npos)
      identifiers.push_back(words[i]);
    else
      done =
          set(section, Scope::certificate, words[i].substr(0, equals), std::array{words[i].substr(equals + 1)}, section.place);
  }
  if (done && !identifiers.empty()) done = set(section, Scope::certificate, "identifiers", identifiers, section.place);
  return done;
}

void anchor_paths(Setting& setting, const std::string& directory) {
  for (std::string* const file : file_words(setting))
    if (!file->empty() && !file->starts_with('/') && *file != "off") *file = directory + "/" + *file;
}

}  // namespace evercert
