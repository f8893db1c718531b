#include <ostream>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "evercert/settings.h"

namespace evercert {
namespace {

std::string default_state_path() {
  const Option* option = find_option(Scope::global, "state_path");
  return option == nullptr ? std::string() : std::string(option->fallback);
}

}  // namespace

Result<std::string> state_path_of(const Request& request) {
  if (!request.state_path.empty()) {
    return request.state_path;
  }
  if (request.config.empty()) {
    return default_state_path();
  }
  Settings settings;
  if (Result<Done> read = read_settings_file(settings, request.config); !read) {
    return Error{ErrorKind::configuration, read.error().message};
  }
  for (const Setting& setting : settings.global.settings) {
    if (setting.option != nullptr && setting.option->name == "state_path" && !setting.words.empty()) {
      return setting.words.front();
    }
  }
  return default_state_path();
}

int fail(const Error& error, Surroundings& surroundings) {
  surroundings.err << printable(error.message) << "\n";
  switch (error.kind) {
    case ErrorKind::configuration:
      return exit_configuration;
    case ErrorKind::action_required:
      return exit_people;
    default:
      return exit_failed;
  }
}

}  // namespace evercert
