// How an option is written in each kind of configuration file. Only for people's eyes: the reference page and remedies;
// front ends map their own spelling to option names themselves.
#pragma once

#include <string>
#include <string_view>

#include "evercert/settings.h"

namespace evercert {

enum class Spelling { nginx, apache, json };

// By the file's name, then by the server that the configuration is for.
Spelling spelling_of(std::string_view server, const Place& place);

// "evercert_state_path", "EvercertStatePath", "state_path"; empty where there is none.
std::string spell(const Option& option, Spelling spelling);

// The whole of it, with a value: "evercert_state_path /a;", "EvercertStatePath /a", "\"state_path\": \"/a\"".
std::string spell_setting(const Option& option, Spelling spelling, const std::string& value);

// `evercert each` and its equals.
std::string spell_each(Spelling spelling);

// The smallest block that defines an issuer.
std::string issuer_example(Spelling spelling);

}  // namespace evercert
