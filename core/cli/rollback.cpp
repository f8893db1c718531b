#include <ostream>

#include "cli/commands.h"
#include "cli/conversation.h"
#include "cli/stand_in.h"
#include "cli/terminal.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

Result<std::uint64_t> roll_back_alone(const std::string& state_path, const Request& request) {
  Result<std::optional<SealKeys>> keys = keys_of(state_path);
  if (!keys) {
    return keys.error();
  }
  if (!*keys) {
    return Error{ErrorKind::storage, "there is no seal key in " + state_path + ", so there is nothing to return to"};
  }
  Result<StandIn> stand_in = StandIn::take_place(state_path, **keys);
  if (!stand_in) {
    return stand_in.error();
  }
  return stand_in->roll_back(request.name, request.to);
}

}  // namespace

int roll_back(const Request& request, Surroundings& surroundings) {
  Result<std::string> state_path = state_path_of(request);
  if (!state_path) {
    return fail(state_path.error(), request, surroundings);
  }
  if (!usable_name(request.name)) {
    return refuse(request, surroundings, exit_failed, "\"" + request.name + "\" cannot be the name of a certificate");
  }
  Result<ControlConnection> agent = reach_agent(*state_path, patience_of(request));
  if (!agent && agent.error().kind != ErrorKind::connection) {
    return fail(agent.error(), request, surroundings);
  }
  if (!agent) {
    Result<std::uint64_t> generation = roll_back_alone(*state_path, request);
    if (!generation) {
      return fail(generation.error(), request, surroundings);
    }
    const std::string done = request.name + ": the earlier certificate is generation " + std::to_string(*generation) +
                             " now, and is served when the server starts or its agent is back";
    return conclude({exit_done, done, {}}, request, surroundings);
  }
  Json message{{"verb", "rollback"}, {"name", request.name}};
  if (request.to) {
    message["to"] = *request.to;
  }
  return conclude(converse(*agent, message, surroundings, patience_of(request)), request, surroundings);
}

}  // namespace evercert
