// The words of the control protocol that the verbs of the leader share: exit codes, as the command line has them, and members
// of a request. Rule: a member that is absent or no text is empty; what a verb needs it checks.
#pragma once

#include <string>

#include "serving/base/json.h"

namespace evercert {

enum VerbExit { exit_done = 0, exit_failed = 1, exit_usage = 2, exit_person = 4 };

inline std::string text_of(const Json& object, const char* member) {
  auto text = json_optional_text(object, member, "the request");
  return text && *text ? **text : "";
}

}  // namespace evercert
