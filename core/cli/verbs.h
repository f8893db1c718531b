// The table of commands: what each is called, takes, needs and says of itself. The parser is built from it, and so are the
// help, the reference page, the manual page and the completions (pages.h).
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "cli/command_line.h"

namespace CLI {
class App;
}

namespace evercert {

struct Verb {
  std::string_view name;
  std::string_view summary;  // one line, without a full stop
  std::string_view needs;    // what must be there, and who may; or empty
  std::string_view details;  // sentences, or empty
  std::string_view examples;
  int (*command)(const Request&, Surroundings&);
  void (*add_options)(CLI::App&, Request&);
  bool hidden = false;  // for servers, and for those who build evercert
};

std::span<const Verb> verbs();
const Verb* find_verb(std::string_view name);
// The refusal of a word that is no command, with the nearest one that is for people.
std::string unknown_verb(const std::string& name);

// Makes the parser of a verb's words. It writes into `request`, which outlives it. One for each: a certificate may be called as
// another verb is.
std::unique_ptr<CLI::App> parser_of(const Verb& verb, Request& request);

}  // namespace evercert
