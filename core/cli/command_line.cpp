#include "cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <ostream>

#include "cli/commands.h"
#include "cli/verbs.h"
#include "evercert/text.h"
#include "serving/config/words.h"

namespace evercert {
namespace {

bool is_option(const std::string& word) {
  return word.size() > 1 && word.front() == '-';
}

std::string name_of(const std::string& option) {
  return option.substr(0, option.find('='));
}

// What a command line has before it is parsed: its options may stand before the verb, too.
struct Words {
  std::string verb;     // or empty
  std::string unknown;  // the first option before the verb that no verb has, or empty
  std::vector<std::string> rest;
  [[nodiscard]] bool have(std::initializer_list<const char*> options) const {
    const auto end = std::find(rest.begin(), rest.end(), "--");
    return std::any_of(options.begin(), options.end(),
                       [&](const char* option) { return std::find(rest.begin(), end, option) != end; });
  }
};

struct Owner {
  std::string verb;
  int values;  // that follow it
};

// The verbs that have this option.
std::vector<Owner> owners_of(const std::string& option) {
  std::vector<Owner> owners;
  for (const Verb& verb : verbs()) {
    Request unused;
    const auto parser = parser_of(verb, unused);
    const CLI::Option* const found = verb.hidden ? nullptr : parser->get_option_no_throw(option);
    if (found != nullptr) owners.push_back({std::string(verb.name), found->get_items_expected_min()});
  }
  return owners;
}

bool asks_for_no_verb(const std::string& option) {
  return option == "--help" || option == "-h" || option == "--version" || option == "-V";
}

std::string unknown_before_the_verb(const std::string& option) {
  std::vector<std::string> known{"--help", "--version"};
  for (const Verb& verb : verbs()) {
    Request unused;
    const auto parser = parser_of(verb, unused);
    if (verb.hidden) continue;
    for (const CLI::Option* const one : parser->get_options())
      if (!one->get_group().empty())
        for (const std::string& name : one->get_lnames()) known.push_back("--" + name);
  }
  return "evercert has no option \"" + option + "\"" + did_you_mean(option, known, "; evercert --help lists the commands");
}

Words words_of(const std::vector<std::string>& arguments) {
  Words words;
  std::size_t at = 0;
  for (; at < arguments.size() && is_option(arguments[at]) && arguments[at] != "--"; ++at) {
    words.rest.push_back(arguments[at]);
    const auto owners = owners_of(name_of(arguments[at]));
    if (owners.empty() && words.unknown.empty() && !asks_for_no_verb(arguments[at])) words.unknown = name_of(arguments[at]);
    if (arguments[at].find('=') != std::string::npos) continue;
    for (int value = 0; !owners.empty() && value < owners.front().values && at + 1 < arguments.size(); ++value)
      words.rest.push_back(arguments[++at]);
  }
  if (at < arguments.size()) words.verb = arguments[at++];
  words.rest.insert(words.rest.end(), arguments.begin() + static_cast<std::ptrdiff_t>(at), arguments.end());
  return words;
}

std::string unknown_option(const CLI::App& command, const std::string& word) {
  constexpr std::size_t most_named = 4;
  const std::string option = name_of(word);
  const std::string verb = "evercert " + command.get_name();
  const std::string refusal = verb + " has no option \"" + option + "\"";
  const auto owners = owners_of(option);
  if (!owners.empty() && owners.size() <= most_named) {
    std::vector<std::string> names;
    for (const Owner& owner : owners) names.push_back(owner.verb);
    return refusal + "; " + enumerated(names) + (names.size() == 1 ? " has it" : " have it");
  }
  std::vector<std::string> known{"--help"};
  for (const CLI::Option* const one : command.get_options())
    if (!one->get_group().empty())
      for (const std::string& name : one->get_lnames()) known.push_back("--" + name);
  return refusal + did_you_mean(option, known, "; " + verb + " --help lists them");
}

// Words that the parser has no use for.
std::optional<std::string> left_over(const CLI::App& command, bool options_only) {
  const std::vector<std::string> left = command.remaining();
  const auto option = std::find_if(left.begin(), left.end(), is_option);
  if (option != left.end()) return unknown_option(command, *option);
  if (left.empty() || options_only) return std::nullopt;
  return "evercert " + command.get_name() + " does not take the word \"" + left.front() + "\"; evercert " + command.get_name() +
         " --help tells what it takes";
}

int parse_and_run(const std::vector<std::string>& arguments, Surroundings& surroundings) {
  Request request;
  Words words = words_of(arguments);
  request.json = words.have({"--json"});
  if (words.verb.empty() && words.have({"--version", "-V"})) {
    words.verb = "version";
    std::erase_if(words.rest, [](const std::string& word) { return word == "--version" || word == "-V"; });
  }
  if (words.have({"--help", "-h"})) {
    std::erase_if(words.rest, [](const std::string& word) { return word == "--help" || word == "-h"; });
    if (words.verb != "help" || words.rest.empty()) words.rest.clear();
    if (!words.verb.empty() && words.rest.empty()) words.rest.push_back(words.verb);
    words.verb = "help";
  }
  const Verb* const verb = find_verb(words.verb);
  // What was taken for the verb may be the value of an option that nobody knows.
  if (verb == nullptr && !words.unknown.empty())
    return refuse(request, surroundings, exit_usage, unknown_before_the_verb(words.unknown));
  if (words.verb.empty())
    return refuse(request, surroundings, exit_usage, "evercert: say what is to be done; evercert --help lists the commands");
  if (verb == nullptr) return refuse(request, surroundings, exit_usage, unknown_verb(words.verb));
  const auto command = parser_of(*verb, request);
  std::vector<std::string> reversed(words.rest.rbegin(), words.rest.rend());
  std::optional<std::string> refusal;
  try {
    command->parse(std::move(reversed));
  } catch (const CLI::ParseError& fault) {
    refusal = "evercert " + words.verb + ": " + fault.what() + "; evercert " + words.verb + " --help tells what it takes";
  }
  // An option that nobody knows may be why something else is missing.
  if (const auto left = left_over(*command, refusal.has_value())) refusal = left;
  if (refusal) return refuse(request, surroundings, exit_usage, *refusal);
  request.verb = words.verb;
  if (const auto trouble = request.config.empty() ? std::nullopt : path_trouble(request.config))
    return blame_words(*trouble, request, surroundings);
  return verb->command(request, surroundings);
}

}  // namespace

int run_command_line(const std::vector<std::string>& arguments, Surroundings& surroundings) {
  return at_boundary(
      static_cast<int>(exit_failed), [&] { return parse_and_run(arguments, surroundings); },
      [&](const std::string& what) { surroundings.err << "evercert: " << printable(what) << "\n"; });
}

}  // namespace evercert
