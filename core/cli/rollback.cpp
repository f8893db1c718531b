#include <ostream>

#include "cli/commands.h"
#include "cli/conversation.h"
#include "cli/stand_in.h"
#include "cli/terminal.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

Answer roll_back_alone(const std::string& state_path, const Request& request) {
  const auto failed = [](const Error& error) {
    const int exit = error.kind == ErrorKind::action_required ? exit_people
                     : error.kind == ErrorKind::connection    ? exit_unreachable
                                                              : exit_failed;
    return Answer{exit, error.message, {}};
  };
  Result<std::optional<SealKeys>> keys = keys_of(state_path);
  if (!keys) {
    return failed(keys.error());
  }
  if (!*keys) {
    return failed({ErrorKind::storage, "there is no seal key in " + state_path + ", so there is nothing to return to"});
  }
  Result<StandIn> stand_in = StandIn::take_place(state_path, **keys);
  if (!stand_in) {
    return failed(stand_in.error());
  }
  Result<std::uint64_t> generation = stand_in->roll_back(request.name, request.to);
  if (!generation) {
    return failed(generation.error());
  }
  return {exit_done,
          request.name + ": the earlier certificate is generation " + std::to_string(*generation) +
              " now, and is served when the server starts or its agent is back",
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
  Result<ControlConnection> agent = reach_agent(*state_path, patience_of(request));
  if (!agent && agent.error().kind != ErrorKind::connection) {
    return fail(agent.error(), surroundings);
  }
  if (!agent) {
    return conclude(roll_back_alone(*state_path, request), request, surroundings);
  }
  Json message{{"verb", "rollback"}, {"name", request.name}};
  if (request.to) {
    message["to"] = *request.to;
  }
  return conclude(converse(*agent, message, surroundings, patience_of(request)), request, surroundings);
}

}  // namespace evercert
