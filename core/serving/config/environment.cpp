#include "serving/config/environment.h"

#include <cstdlib>

namespace evercert {

std::string environment_state_path() {
  const char* path = std::getenv("EVERCERT_STATE");
  return path == nullptr ? "" : path;
}

std::string environment_notify_socket() {
  const char* address = std::getenv("NOTIFY_SOCKET");
  return address == nullptr ? "" : address;
}

bool environment_says_no_color() {
  const char* wish = std::getenv("NO_COLOR");
  return wish != nullptr && *wish != '\0';
}

std::optional<Secret> environment_secret(const std::string& variable) {
  const char* value = std::getenv(variable.c_str());
  if (value == nullptr || *value == '\0') return std::nullopt;
  return Secret::from_text(value);
}

std::string credential_path(const std::string& name) {
  const char* directory = std::getenv("CREDENTIALS_DIRECTORY");
  return directory == nullptr ? "" : std::string(directory) + "/" + name;
}

}  // namespace evercert
