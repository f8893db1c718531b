// The commands behind the verbs. Each prints its results on Surroundings::out, all else on Surroundings::err, and returns an
// ExitCode.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "cli/command_line.h"
#include "evercert/result.h"
#include "evercert/state.h"

namespace evercert {

// Reading: the status page as the agent last wrote it, with the mark of its silence.
int print_status(const Request& request, Surroundings& surroundings);
int print_list(const Request& request, Surroundings& surroundings);
int print_certificate(const Request& request, Surroundings& surroundings);
int print_version(const Request& request, Surroundings& surroundings);
int print_reference(const Request& request, Surroundings& surroundings);
int print_completion(const Request& request, Surroundings& surroundings);
int print_help(const Request& request, Surroundings& surroundings);

// Asking the agent.
int ask_renew(const Request& request, Surroundings& surroundings);
int ask_revoke(const Request& request, Surroundings& surroundings);
int ask_cancel(const Request& request, Surroundings& surroundings);
int ask_test(const Request& request, Surroundings& surroundings);
int ask_sync(const Request& request, Surroundings& surroundings);
// Takes over what exists in the account at a commercial CA; reads key files as whoever runs the command.
int import_orders(const Request& request, Surroundings& surroundings);
// Sends one request to the agent and prints what comes of it.
int ask_agent(const Request& request, const nlohmann::json& message, Surroundings& surroundings);

// The smallest configuration that fits this machine; printed, or written where nothing is yet.
int quick_start(const Request& request, Surroundings& surroundings);

// Changing: through the agent when one leads, else by taking its place for a moment.
int roll_back(const Request& request, Surroundings& surroundings);
int import_certificates(const Request& request, Surroundings& surroundings);

// --state, else the state_path of --config, else EVERCERT_STATE, else the default. Errors: configuration, storage.
Result<std::string> state_path_of(const Request& request);
// What is wrong with a file that the command line names: configuration where there is none, storage where it cannot be read.
std::optional<Error> path_trouble(const std::string& path);

// existing_seal_keys(), and for root at the state directory of a server without root's rights the advice that fits it.
Result<std::optional<SealKeys>> keys_of(const std::string& state_path);

// Ends a verb: the sentence goes to `err`, under --json as an object to `out`. Returns `exit`.
int refuse(const Request& request, Surroundings& surroundings, ExitCode exit, const std::string& sentence);
// The same with the exit code for an error's kind.
int fail(const Error& error, const Request& request, Surroundings& surroundings);
// The same for an error in what the words of the command line name: a wrong path, user or key is usage, not configuration.
int blame_words(const Error& error, const Request& request, Surroundings& surroundings);

}  // namespace evercert
