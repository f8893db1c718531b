// The few things that come from the environment. Nothing else reads it: a setting that hides there surprises people.
#pragma once

#include <optional>
#include <string>

#include "evercert/secret.h"

namespace evercert {

inline constexpr const char* environment_prefix = "environment:";
inline constexpr const char* credential_prefix = "credential:";

// A secret in a variable that the operator names himself.
std::optional<Secret> environment_secret(const std::string& variable);
// The path of a credential that the service manager has laid out (systemd.exec(5)); empty: it lays out none.
std::string credential_path(const std::string& name);

// EVERCERT_STATE: the state directory that the command line works on, where it is told no other; or empty.
std::string environment_state_path();

// NOTIFY_SOCKET: where a service manager wants to be told of us (sd_notify(3)); or empty.
std::string environment_notify_socket();

// NO_COLOR is set and not empty: programs shall print no colours.
bool environment_says_no_color();

}  // namespace evercert
