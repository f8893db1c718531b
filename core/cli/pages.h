// What the table of commands says of itself: to a person at a terminal, on the page of the reference, in the manual and to
// shells.
#pragma once

#include <string>
#include <vector>

#include "cli/verbs.h"

namespace evercert {

struct VerbPage {
  struct Word {
    std::string name;   // "--to", "NAME"
    std::string value;  // "N"; empty for a flag and for an argument
    std::vector<std::string> choices;
    std::string meaning;
    std::string group;  // under which it stands, where it is not for all variants
    bool required = false;
    bool several = false;  // an argument that takes all words that follow
  };
  const Verb* verb = nullptr;
  std::vector<Word> arguments;
  std::vector<Word> options;
};

// Those that are for people, in the table's order.
std::vector<VerbPage> verb_pages();
// "evercert renew [NAME] [--all] [--force]"
std::string usage_of(const VerbPage& page);

// For a terminal of so many columns; 0: of any width.
std::string help_of(const VerbPage& page, std::size_t columns);
std::string overview(std::size_t columns);

std::string command_reference();     // docs/reference/command-line.md
std::string command_manual();        // evercert(1)
std::string configuration_manual();  // evercert(5)
// `shell`: bash, zsh or fish.
std::string completion_for(const std::string& shell);

}  // namespace evercert
