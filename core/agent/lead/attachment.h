// The plan that a follower sends to its leader, sealed: a process that can seal it belongs to this state directory.
#pragma once

#include <string>

#include "agent/lead/agent_context.h"
#include "agent/lead/plan_union.h"

namespace evercert {

// The sealed plan of an "attach" request, and what is in it.
struct Attachment {
  std::string instance;
  Time started;
  PlanSource source;
};
Result<std::string> seal_attachment(const AgentContext& context);
Result<Attachment> open_attachment(const AgentContext& context, const std::string& server, const std::string& sealed);

}  // namespace evercert
