#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <ostream>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "evercert/descriptor.h"
#include "evercert/settings.h"
#include "serving/base/json.h"
#include "serving/config/environment.h"
#include "serving/platform/files.h"
#include "serving/store/ownership.h"

namespace evercert {
namespace {

std::string default_state_path() {
  const Option* option = find_option(Scope::global, "state_path");
  return option == nullptr ? std::string() : std::string(option->fallback);
}

ExitCode exit_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::configuration:
      return exit_configuration;
    case ErrorKind::action_required:
      return exit_people;
    case ErrorKind::connection:
      return exit_unreachable;
    default:
      return exit_failed;
  }
}

std::string sentence_of(const Error& error) {
  const bool other_user = error.denied && ::geteuid() != 0;
  return error.message + (other_user ? "; use sudo" : "");
}

}  // namespace

Result<std::string> state_path_of(const Request& request) {
  if (!request.state_path.empty()) {
    return request.state_path;
  }
  if (request.config.empty()) {
    const std::string named = environment_state_path();
    return named.empty() ? default_state_path() : named;
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

std::optional<Error> path_trouble(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.valid()) {
    return std::nullopt;
  }
  const bool absent = errno == ENOENT || errno == ENOTDIR;
  return system_error(absent ? ErrorKind::configuration : ErrorKind::storage, "cannot read " + path, errno);
}

int refuse(const Request& request, Surroundings& surroundings, ExitCode exit, const std::string& sentence) {
  if (request.json) {
    surroundings.out << printable_json(dump_json(Json{{"format", 1}, {"exit", int{exit}}, {"message", sentence}})) << "\n";
  } else {
    surroundings.err << printable(sentence) << "\n";
  }
  return exit;
}

int fail(const Error& error, const Request& request, Surroundings& surroundings) {
  return refuse(request, surroundings, exit_of(error.kind), sentence_of(error));
}

int blame_words(const Error& error, const Request& request, Surroundings& surroundings) {
  const bool wrong = error.kind == ErrorKind::configuration;
  return refuse(request, surroundings, wrong ? exit_usage : exit_of(error.kind), sentence_of(error));
}

}  // namespace evercert
