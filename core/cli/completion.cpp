// Completions for bash, zsh and fish, from the table of commands. Names of certificates and issuers come from what is running.
#include <algorithm>
#include <sstream>

#include "cli/pages.h"
#include "serving/config/known_cas.h"
#include "serving/config/words.h"

namespace evercert {
namespace {

enum class Filled { nothing, words, certificates, files };

Filled filling_of(const std::string& name, const std::vector<std::string>& choices) {
  if (!choices.empty()) return Filled::words;
  if (name == "NAME" || name == "NAMES") return Filled::certificates;
  if (name == "FILE" || name == "DIR" || name == "PATH" || name == "SOURCE") return Filled::files;
  return Filled::nothing;
}

// In single quotes of a shell.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

std::vector<std::string> commands_of(const std::vector<VerbPage>& pages) {
  std::vector<std::string> names;
  for (const VerbPage& page : pages) names.emplace_back(page.verb->name);
  return names;
}

// The words that an argument or the value of an option may be; of `help` the commands. A CA may be an address, too.
std::vector<std::string> choices_of(const VerbPage::Word& word, const std::vector<VerbPage>& pages) {
  return word.name == "COMMAND" ? commands_of(pages) : word.value == "CA" ? known_ca_words() : word.choices;
}

std::string bash(const std::vector<VerbPage>& pages) {
  std::string text =
      "# bash completion for evercert(1)\n"
      "_evercert() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command='' place=0 i\n"
      "  COMPREPLY=()\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case ${COMP_WORDS[i]} in\n"
      "      -*) ;;\n"
      "      *) if [[ -z $command ]]; then command=${COMP_WORDS[i]}; else ((place++)); fi ;;\n"
      "    esac\n"
      "  done\n"
      "  if [[ -z $command ]]; then\n"
      "    mapfile -t COMPREPLY < <(compgen -W '" +
      joined(commands_of(pages), " ") +
      " --help --version' -- \"$word\")\n"
      "    return\n"
      "  fi\n"
      "  case $command:$before in\n";
  for (const VerbPage& page : pages)
    for (const auto& word : page.options) {
      if (word.value.empty()) continue;
      text += "    " + std::string(page.verb->name) + ":" + word.name + ") ";
      const auto choices = choices_of(word, pages);
      const Filled filled = filling_of(word.value, choices);
      if (filled == Filled::words) text += "mapfile -t COMPREPLY < <(compgen -W '" + joined(choices, " ") + "' -- \"$word\"); ";
      if (filled == Filled::files) text += "mapfile -t COMPREPLY < <(compgen -f -- \"$word\"); ";
      text += "return ;;\n";
    }
  text +=
      "  esac\n"
      "  if [[ $word == -* ]]; then\n"
      "    case $command in\n";
  for (const VerbPage& page : pages) {
    std::vector<std::string> options;
    for (const auto& word : page.options) options.push_back(word.name);
    text += "      " + std::string(page.verb->name) + ") mapfile -t COMPREPLY < <(compgen -W '" + joined(options, " ") +
            "' -- \"$word\") ;;\n";
  }
  text +=
      "    esac\n"
      "    return\n"
      "  fi\n"
      "  case $command:$place in\n";
  for (const VerbPage& page : pages)
    for (std::size_t i = 0; i < page.arguments.size(); ++i) {
      const auto& word = page.arguments[i];
      const auto choices = choices_of(word, pages);
      const Filled filled = filling_of(word.name, choices);
      if (filled == Filled::nothing) continue;
      text += "    " + std::string(page.verb->name) + ":" + (word.several ? "*" : std::to_string(i)) +
              ") mapfile -t COMPREPLY < <(compgen " +
              (filled == Filled::words          ? "-W '" + joined(choices, " ") + "'"
               : filled == Filled::certificates ? std::string("-W \"$(evercert list 2>/dev/null)\"")
                                                : std::string("-f")) +
              " -- \"$word\") ;;\n";
    }
  return text +
         "  esac\n"
         "}\n"
         "complete -o filenames -o bashdefault -F _evercert evercert\n";
}

// "[" and ":" have a meaning in what _arguments reads.
std::string zsh_meaning(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '[' || c == ']' || c == ':' ? std::string("\\") + c : std::string(1, c);
  return result;
}

std::string zsh_action(const std::string& name, const std::vector<std::string>& choices) {
  switch (filling_of(name, choices)) {
    case Filled::words:
      return "(" + joined(choices, " ") + ")";
    case Filled::certificates:
      return "_evercert_certificates";
    case Filled::files:
      return "_files";
    case Filled::nothing:
      break;
  }
  return " ";
}

// An option may have two values: "KID FILE".
std::string zsh_values(const VerbPage::Word& word, const std::vector<VerbPage>& pages) {
  std::string text;
  std::istringstream values(word.value);
  for (std::string value; values >> value;) text += ":" + value + ":" + zsh_action(value, choices_of(word, pages));
  return text;
}

std::string zsh(const std::vector<VerbPage>& pages) {
  std::string text =
      "#compdef evercert\n"
      "_evercert_certificates() { compadd -- ${(f)\"$(evercert list 2>/dev/null)\"} }\n"
      "_evercert() {\n"
      "  local -a commands\n"
      "  commands=(\n";
  for (const VerbPage& page : pages)
    text += "    " + quoted(std::string(page.verb->name) + ":" + zsh_meaning(std::string(page.verb->summary))) + "\n";
  text +=
      "  )\n"
      "  if ((CURRENT == 2)); then\n"
      "    _describe command commands\n"
      "    return\n"
      "  fi\n"
      "  local command=$words[2]\n"
      "  shift words\n"
      "  ((CURRENT--))\n"
      "  case $command in\n";
  for (const VerbPage& page : pages) {
    text += "    " + std::string(page.verb->name) + ") _arguments";
    for (const auto& word : page.options)
      text += " \\\n        " + quoted(word.name + "[" + zsh_meaning(word.meaning) + "]" + zsh_values(word, pages));
    for (const auto& word : page.arguments)
      text += " \\\n        " + quoted(std::string(word.several ? "*" : "") + ":" + word.name + ":" +
                                       zsh_action(word.name, choices_of(word, pages)));
    text += " ;;\n";
  }
  return text +
         "  esac\n"
         "}\n"
         "_evercert \"$@\"\n";
}

std::string fish(const std::vector<VerbPage>& pages) {
  std::string text = "# fish completion for evercert(1)\ncomplete -c evercert -f\n";
  for (const VerbPage& page : pages)
    text += "complete -c evercert -n __fish_use_subcommand -a " + std::string(page.verb->name) + " -d " +
            quoted(std::string(page.verb->summary)) + "\n";
  for (const VerbPage& page : pages) {
    const std::string begin = "complete -c evercert -n '__fish_seen_subcommand_from " + std::string(page.verb->name) + "'";
    for (const auto& word : page.options) {
      text += begin + " -l " + word.name.substr(2) + " -d " + quoted(word.meaning);
      const auto choices = choices_of(word, pages);
      if (!word.value.empty()) text += filling_of(word.value, choices) == Filled::files ? " -r -F" : " -x";
      if (!choices.empty()) text += " -a " + quoted(joined(choices, " "));
      text += "\n";
    }
    for (const auto& word : page.arguments) {
      const auto choices = choices_of(word, pages);
      const Filled filled = filling_of(word.name, choices);
      if (filled == Filled::words) text += begin + " -a " + quoted(joined(choices, " ")) + "\n";
      if (filled == Filled::certificates) text += begin + " -a '(evercert list 2>/dev/null)'\n";
      if (filled == Filled::files) text += begin + " -F\n";
    }
  }
  return text;
}

}  // namespace

std::string completion_for(const std::string& shell) {
  const auto pages = verb_pages();
  return shell == "zsh" ? zsh(pages) : shell == "fish" ? fish(pages) : bash(pages);
}

}  // namespace evercert
