#include <unistd.h>

#include <ostream>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "evercert/settings.h"
#include "serving/store/ownership.h"

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

Result<std::optional<SealKeys>> keys_of(const std::string& state_path) {
  Result<std::optional<SealKeys>> keys = existing_seal_keys(state_path);
  if (keys || ::geteuid() != 0 || keys.error().kind != ErrorKind::configuration) {
    return keys;
  }
  const std::optional<std::uint32_t> owner = single_owner(state_path);
  if (!owner) {
    return keys;
  }
  const std::string user = std::to_string(*owner);
  return Error{ErrorKind::configuration, "the state directory \"" + state_path + "\" belongs to user " + user +
                                             ", who could make root believe anything: ask as that user (sudo -u '#" + user +
                                             "' evercert ...)"};
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
