// renew, cancel, test, sync and revoke: only the agent talks to a CA, so these need one.
#include <istream>
#include <ostream>

#include "cli/commands.h"
#include "cli/conversation.h"
#include "cli/terminal.h"
#include "serving/base/json.h"

namespace evercert {

namespace {

// Errors: nobody could be asked.
Result<Answer> answer_to(const Json& message, const Request& request, Surroundings& surroundings) {
  Result<std::string> state_path = state_path_of(request);
  if (!state_path) {
    return state_path.error();
  }
  Result<ControlConnection> agent = reach_agent(*state_path, patience_of(request));
  if (!agent) {
    return agent.error();
  }
  return converse(*agent, message, surroundings, patience_of(request));
}

}  // namespace

int ask_agent(const Request& request, const Json& message, Surroundings& surroundings) {
  const Result<Answer> answer = answer_to(message, request, surroundings);
  return answer ? conclude(*answer, request, surroundings) : fail(answer.error(), request, surroundings);
}

int ask_renew(const Request& request, Surroundings& surroundings) {
  if (request.name.empty() && !request.all) {
    return refuse(request, surroundings, exit_usage, "evercert renew: name a certificate, or say --all");
  }
  Json message{{"verb", "renew"}, {"force", request.force}};
  if (request.all) {
    message["all"] = true;
  } else {
    message["name"] = request.name;
  }
  if (request.no_wait) message["wait"] = false;
  return ask_agent(request, message, surroundings);
}

int ask_cancel(const Request& request, Surroundings& surroundings) {
  return ask_agent(request, Json{{"verb", "cancel"}, {"name", request.name}}, surroundings);
}

int ask_test(const Request& request, Surroundings& surroundings) {
  return ask_agent(request, Json{{"verb", "test"}, {"issuer", request.name}}, surroundings);
}

int ask_sync(const Request& request, Surroundings& surroundings) {
  Json message{{"verb", "sync"}};
  if (!request.name.empty()) message["issuer"] = request.name;
  return ask_agent(request, message, surroundings);
}

namespace {

// Nobody is asked to confirm what cannot be. An agent of an earlier release does not know the question.
std::optional<int> nothing_to_revoke(const Request& request, Surroundings& surroundings) {
  const Result<Answer> answer = answer_to(Json{{"verb", "revocable"}, {"name", request.name}}, request, surroundings);
  if (!answer) {
    return fail(answer.error(), request, surroundings);
  }
  return answer->exit == exit_done || answer->exit == exit_usage ? std::nullopt
                                                                 : std::optional(conclude(*answer, request, surroundings));
}

}  // namespace

int ask_revoke(const Request& request, Surroundings& surroundings) {
  if (!request.yes) {
    if (const std::optional<int> refused = nothing_to_revoke(request, surroundings)) {
      return *refused;
    }
    surroundings.err << "Revoking cannot be undone: clients will refuse the certificate \"" << printable(request.name)
                     << "\" that is served now.\nType its name to go on: " << std::flush;
    std::string typed;
    std::getline(surroundings.in, typed);
    if (typed != request.name) {
      surroundings.err << "\n";
      return refuse(request, surroundings, exit_failed, "not confirmed, nothing was revoked (--yes does not ask)");
    }
  }
  Json message{{"verb", "revoke"}, {"name", request.name}};
  message["reason"] = request.reason.empty() ? "unspecified" : request.reason;
  if (!request.comment.empty()) message["comment"] = request.comment;
  return ask_agent(request, message, surroundings);
}

}  // namespace evercert
