#include "cli/pages.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <ostream>

#include "cli/commands.h"
#include "cli/table.h"
#include "serving/config/known_cas.h"
#include "serving/config/reference.h"
#include "serving/config/words.h"

namespace evercert {
namespace {

constexpr std::size_t widest_name = 26;

// "REASON:{keyCompromise,superseded}", as CLI11 tells what a word may be.
std::vector<std::string> choices_in(const std::string& type) {
  std::vector<std::string> choices;
  const auto begin = type.find('{');
  const auto end = type.find('}', begin == std::string::npos ? 0 : begin);
  if (begin == std::string::npos || end == std::string::npos) return choices;
  for (std::size_t at = begin + 1; at <= end;) {
    const std::size_t comma = std::min(type.find(',', at), end);
    choices.push_back(type.substr(at, comma - at));
    at = comma + 1;
  }
  return choices;
}

VerbPage::Word word_of(const CLI::Option& option) {
  VerbPage::Word word;
  const std::string type = option.get_type_name();
  word.name = option.get_positional() ? option.get_name(true, false) : option.get_name(false, true);
  if (!option.get_positional()) word.value = type.substr(0, type.find(':'));
  if (option.get_items_expected_max() == 0) word.value.clear();
  word.choices = choices_in(type);
  word.meaning = option.get_description();
  word.group = option.get_group() == "Options" ? "" : option.get_group();
  word.required = option.get_required();
  word.several = option.get_positional() && option.get_items_expected_max() > 1;
  return word;
}

std::string named(const VerbPage::Word& word) {
  return word.name + (word.value.empty() ? "" : " " + word.value);
}

std::string meaning_of(const VerbPage::Word& word) {
  std::string text = word.meaning;
  for (std::size_t i = 0; i < word.choices.size(); ++i)
    text += (i == 0 ? ": " : i + 1 == word.choices.size() ? " or " : ", ") + word.choices[i];
  return text;
}

std::string plain(std::string_view text) {
  std::string result(text);
  std::erase(result, '`');
  return result;
}

std::string entry(const std::string& name, const std::string& meaning, std::size_t columns) {
  const std::string head = "  " + name;
  if (head.size() + 2 > widest_name) return head + "\n" + wrapped(meaning, columns, widest_name, widest_name) + "\n";
  return head + wrapped(meaning, columns, widest_name, widest_name).substr(head.size()) + "\n";
}

std::string indented(std::string_view lines) {
  std::string text = "  ";
  for (const char c : lines) text += c == '\n' ? std::string("\n  ") : std::string(1, c);
  return text + "\n";
}

constexpr std::string_view exits =
    "0 done, or nothing to do; 1 failed, or not done in time; 2 the command line is wrong; 3 the configuration is refused; 4 a "
    "person is needed, at the CA or here; 5 no agent answers, or it went away.";

}  // namespace

std::vector<VerbPage> verb_pages() {
  Request request;
  std::vector<VerbPage> pages;
  for (const Verb& verb : verbs()) {
    if (verb.hidden) continue;
    VerbPage& page = pages.emplace_back();
    page.verb = &verb;
    const auto parser = parser_of(verb, request);
    for (const CLI::Option* const option : parser->get_options()) {
      if (option->get_group().empty()) continue;
      (option->get_positional() ? page.arguments : page.options).push_back(word_of(*option));
    }
    page.options.push_back({"--help", "", {}, "This explanation", "", false, false});
  }
  return pages;
}

std::string usage_of(const VerbPage& page) {
  std::string usage = "evercert " + std::string(page.verb->name);
  for (const auto& word : page.arguments) {
    const std::string name = word.name + (word.several ? "..." : "");
    usage += word.required ? " " + name : " [" + name + "]";
  }
  for (const auto& word : page.options)
    if (word.name != "--help") usage += " [" + named(word) + "]";
  return usage;
}

std::string help_of(const VerbPage& page, std::size_t columns) {
  std::string text =
      wrapped(usage_of(page), columns, 0, 4) + "\n\n" + wrapped(std::string(page.verb->summary) + ".", columns) + "\n";
  if (!page.verb->details.empty()) text += wrapped(plain(page.verb->details), columns) + "\n";
  if (!page.verb->needs.empty()) text += "\n" + wrapped("Needs " + std::string(page.verb->needs) + ".", columns) + "\n";
  if (!page.arguments.empty()) text += "\nArguments:\n";
  for (const auto& word : page.arguments) text += entry(word.name, meaning_of(word), columns);
  std::vector<std::string> groups;
  for (const auto& word : page.options)
    if (std::find(groups.begin(), groups.end(), word.group) == groups.end()) groups.push_back(word.group);
  for (const std::string& group : groups) {
    text += "\n" + (group.empty() ? "Options" : group) + ":\n";
    for (const auto& word : page.options)
      if (word.group == group) text += entry(named(word), meaning_of(word), columns);
  }
  return text + "\nExamples:\n" + indented(page.verb->examples);
}

std::string overview(std::size_t columns) {
  std::string text =
      wrapped("evercert COMMAND ...", columns) + "\n\n" +
      wrapped("Certificates that order, renew and swap themselves inside the web server you already run.", columns) +
      "\n\nCommands:\n";
  for (const VerbPage& page : verb_pages())
    text += entry(std::string(page.verb->name), std::string(page.verb->summary), columns);
  return text + "\n" +
         wrapped(
             "Options may stand before or after the command. --state, --config and EVERCERT_STATE name the state directory, "
             "in this order.",
             columns) +
         "\n\n" + wrapped("Ends with " + std::string(exits), columns) + "\n\nExamples:\n" +
         indented("evercert status\nevercert renew www.example.com\nevercert help renew");
}

namespace {

std::string cell(std::string text) {
  for (std::size_t bar = text.find('|'); bar != std::string::npos; bar = text.find('|', bar + 2)) text.insert(bar, "\\");
  return text;
}

constexpr std::string_view reference_head = R"(# Command line

Printed from the table of commands (`evercert reference commands`); do not edit.

`evercert COMMAND ...`. Options may stand before or after the command. The state directory is the one of `--state DIR` (a `state_path`), else the `state_path`
in the `evercert.json` of `--config FILE`, else what the variable `EVERCERT_STATE` names, else `/var/lib/evercert`.

Results go to standard output, everything else to standard error. With `--json` results and errors are one JSON object on standard output; an error has
`{"format": 1, "exit": N, "message": "..."}`. Tables are as wide as the terminal; where there is none, nothing is cut.

)";

constexpr std::string_view reference_tail = R"(
## Waiting

What asks the agent ends after five minutes, or after `--timeout DURATION` (`90s`, `5m`, `2h`; up to a week): with 1 when the agent has taken the request and is not done, with 5 when it has not answered at all.
The agent goes on in the background with what it was asked for, and `evercert status` tells what becomes of it. An import from an issuer ends when it has told nothing for five minutes; the same command goes on from there.

## Exit codes

| exit | means |
|---|---|
| 0 | done, or nothing to do: `renew` of what was issued a short while ago, `cancel` without an open order, `sync` without an account that has lists |
| 1 | failed, or not done in time; also where a file that is named is there and cannot be read |
| 2 | the command line is wrong: a command, an option, a word that it does not take, a file, folder or user that is not there |
| 3 | the configuration is refused |
| 4 | a person is needed: at the CA, or here (a certificate that is held) |
| 5 | no agent answers, or it went away or stopped |

`status` and `show` exit with 0 where an agent runs and has written a status; that says whether something is wrong. They exit with 5 where no agent runs, or the one that holds the lead does not answer: what is shown then is
as it was last known ("was served"). `status` exits with 1 where none has written anything, and both do where a server runs whose agent does not come up; root is told the server's process and error log. Between two agents, as at a reload,
they wait for seconds. Who may not see who leads (not root, not the user that started the server) is told when the agent last wrote.

How to: [take over an account at a CA](../how-to/take-over-an-account.md), [move from certbot](../how-to/move-from-certbot.md), [from mod_md](../how-to/move-from-mod-md.md),
[from nginx's own ACME module](../how-to/move-from-nginx-acme.md).
)";

}  // namespace

std::string command_reference() {
  std::string text(reference_head);
  text += "| command | does | needs |\n|---|---|---|\n";
  for (const VerbPage& page : verb_pages()) {
    const std::string name(page.verb->name);
    text += "| [`" + name + "`](#" + name + ") | " + std::string(page.verb->summary) + " | " + std::string(page.verb->needs) +
            " |\n";
  }
  for (const VerbPage& page : verb_pages()) {
    text += "\n## " + std::string(page.verb->name) + "\n\n`" + usage_of(page) + "`\n\n" + std::string(page.verb->summary) + ".";
    if (!page.verb->details.empty()) text += " " + std::string(page.verb->details);
    text += "\n\n";
    bool any = false;
    for (const auto* const words : {&page.arguments, &page.options})
      for (const auto& word : *words) {
        if (word.name == "--help") continue;
        if (!any) text += "| | |\n|---|---|\n";
        any = true;
        text += "| `" + cell(named(word)) + "` | " + cell(meaning_of(word)) +
                (word.group.empty() ? "" : " (" + word.group.substr(word.group.find("import")) + ")") + " |\n";
      }
    text += std::string(any ? "\n" : "") + "```sh\n" + std::string(page.verb->examples) + "\n```\n";
  }
  return text + std::string(reference_tail);
}

int print_help(const Request& request, Surroundings& surroundings) {
  if (request.name.empty()) {
    surroundings.out << overview(surroundings.columns);
    return exit_done;
  }
  for (const VerbPage& page : verb_pages()) {
    if (page.verb->name == request.name) {
      surroundings.out << help_of(page, surroundings.columns);
      return exit_done;
    }
  }
  return refuse(request, surroundings, exit_usage, unknown_verb(request.name));
}

int print_completion(const Request& request, Surroundings& surroundings) {
  surroundings.out << completion_for(request.name);
  return exit_done;
}

int print_reference(const Request& request, Surroundings& surroundings) {
  surroundings.out << (request.name == "commands"               ? command_reference()
                       : request.name == "authorities"          ? authorities_reference()
                       : request.name == "manual"               ? command_manual()
                       : request.name == "manual-configuration" ? configuration_manual()
                                                                : options_reference());
  return exit_done;
}

}  // namespace evercert
