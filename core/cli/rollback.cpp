#include <ostream>

#include "cli/commands.h"
#include "cli/conversation.h"
#include "cli/pairs.h"
#include "cli/stand_in.h"
#include "cli/terminal.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

Result<Bundle> earlier_bundle(const StateReader& state, const SealKey& serving, const Request& request) {
  Result<std::vector<std::uint64_t>> generations = generations_of(state, request.name);
  if (!generations) {
    return generations.error();
  }
  const std::string name = "\"" + request.name + "\"";
  if (generations->empty()) {
    return Error{ErrorKind::storage, "there is no certificate " + name};
  }
  if (request.to && *request.to >= generations->front()) {
    return Error{ErrorKind::storage, "generation " + std::to_string(*request.to) + " of " + name +
                                         " is not an earlier one: the "
                                         "newest is " +
                                         std::to_string(generations->front())};
  }
  Result<std::optional<Bundle>> earlier =
      newest_bundle(state, serving, request.name, request.to.value_or(generations->front() - 1) + 1);
  if (!earlier) {
    return earlier.error();
  }
  if (!*earlier || (request.to && (*earlier)->generation != *request.to)) {
    return Error{ErrorKind::storage, (request.to ? "generation " + std::to_string(*request.to) : "an earlier generation") +
                                         " of " + name + " is not kept or cannot be opened"};
  }
  return std::move(**earlier);
}

Answer roll_back_alone(const std::string& state_path, const Request& request) {
  const auto failed = [](const Error& error) {
    return Answer{error.kind == ErrorKind::action_required ? exit_people : exit_failed, error.message, {}};
  };
  Result<std::optional<SealKeys>> keys = existing_seal_keys(state_path);
  if (!keys) {
    return failed(keys.error());
  }
  Result<StateReader> state = StateReader::open(state_path);
  if (!state) {
    return failed(state.error());
  }
  if (!*keys) {
    return failed({ErrorKind::storage, "there is no seal key in " + state_path + ", so there is nothing to return to"});
  }
  Result<StandIn> stand_in = StandIn::take_place(state_path, **keys);
  if (!stand_in) {
    return failed(stand_in.error());
  }
  Result<Bundle> bundle = earlier_bundle(*state, (*keys)->serving, request);
  if (!bundle) {
    return failed(bundle.error());
  }
  const std::string source = std::to_string(bundle->generation);
  bundle->origin = "rollback to " + source;
  const std::string sentence = "certificate rolled back to generation " + source;
  Result<std::uint64_t> generation = stand_in->publish(std::move(*bundle), "rolled_back", sentence);
  if (!generation) {
    return failed(generation.error());
  }
  return {exit_done,
          request.name + ": generation " + source + " is served again, as generation " + std::to_string(*generation) +
              ", from the server's next start",
          {}};
}

}  // namespace

int roll_back(const Request& request, Surroundings& surroundings) {
  Result<std::string> state_path = state_path_of(request);
  if (!state_path) {
    return fail(state_path.error(), surroundings);
  }
  if (!usable_name(request.name)) {
    surroundings.err << "\"" << printable(request.name) << "\" cannot be the name of a certificate\n";
    return exit_failed;
  }
  Result<ControlConnection> agent = ControlConnection::open(*state_path);
  if (!agent) {
    return conclude(roll_back_alone(*state_path, request), request, surroundings);
  }
  Json message{{"verb", "rollback"}, {"name", request.name}};
  if (request.to) {
    message["to"] = *request.to;
  }
  return conclude(converse(*agent, message, surroundings), request, surroundings);
}

}  // namespace evercert
