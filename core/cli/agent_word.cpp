#include "cli/agent_word.h"

#include <algorithm>

#include "agent/observe/status_report.h"
#include "cli/conversation.h"
#include "cli/lead.h"
#include "cli/starter.h"
#include "cli/table.h"
#include "evercert/text.h"
#include "serving/base/json.h"
#include "serving/base/rfc3339.h"

namespace evercert {
namespace {

using Now = std::chrono::system_clock::time_point;

std::string look_at(const Starter& starter) {
  if (!starter.error_log.empty()) return "its error log " + starter.error_log + " says why";
  return starter.name == "HAProxy"
             ? "HAProxy's log (the targets of its lines \"log\", or where it says \"evercert:\" at its start) says why"
             : "the error log of " + starter.name + " says why";
}

std::string running(const Starter& starter) {
  return starter.name + " (process " + std::to_string(starter.pid) + ")";
}

std::string never_started(const std::string& state_path) {
  return "no server has been started with the state directory " + state_path +
         " yet, or its agent has not come so far; start it, or name another directory with --state, --config or "
         "EVERCERT_STATE; if it runs already, its error log says why its agent does not come up";
}

AgentWord word_before_any(const StatusOnDisk& status) {
  if (const Lead lead = lead_of(status.state_path); lead.kind == Lead::Kind::agent)
    return {"the agent (" + words_for(lead.pid) + ") is just starting and has written no status yet; ask again", exit_done};
  if (const auto starter = starter_of(status.state_path))
    return {running(*starter) + " runs with the state directory " + status.state_path +
                ", but its agent has not come up yet: if it stays so, " + look_at(*starter),
            exit_failed};
  const bool imported = !member_in(status.json, "unnamed").empty();
  return {never_started(status.state_path), imported ? exit_done : exit_failed};
}

AgentWord word_of_page(const StatusOnDisk& status, Now now) {
  const Json& agent = member_in(status.json, "agent");
  const std::string state = text_in(agent, "state");
  const bool fresh = state != "silent" && !state.empty();
  const std::string server = text_in(status.json, "server");
  const std::uint64_t writer = number_in(agent, "pid");
  const std::string line = "evercert " + text_in(status.json, "version") + ", server " + server + ", as of " +
                           text_in(status.json, "generated_at") + "; the agent ";
  // What was written long ago needs no look at whether another agent is about to come.
  const Lead lead = fresh ? settled_lead(status.state_path) : lead_of(status.state_path);
  const std::string who = words_for(lead.pid);
  if (lead.kind == Lead::Kind::agent && !lead.may_be(writer))
    return {line + "(" + who +
                ") has just begun to lead and has written no status yet: this is what the one before it, process " +
                std::to_string(writer) + ", knew",
            exit_done, !fresh};
  if (lead.kind == Lead::Kind::agent && fresh) {
    const auto since = time_in(raw_text_in(agent, "since"));
    return {line + "(" + state + ", process " + std::to_string(lead.pid > 0 ? static_cast<std::uint64_t>(lead.pid) : writer) +
                ") runs since " + (since ? relative_time(*since, now) : text_in(agent, "since")),
            exit_done};
  }
  if (lead.kind == Lead::Kind::agent || lead.kind == Lead::Kind::stopped)
    return {line + "is silent: " + silent_agent(who) + "; nothing is renewed meanwhile", exit_unreachable, true};
  if (lead.kind == Lead::Kind::unknown && fresh) {
    const auto written = time_in(raw_text_in(status.json, "generated_at"));
    return {line + "(" + state + ", process " + std::to_string(writer) + ") ran when it wrote this" +
                (written ? ", " + relative_time(*written, now) : "") +
                "; whether it still does, only root or the user that started the server can see",
            exit_done};
  }
  if (const auto starter = starter_of(status.state_path))
    return {line + printable("has not come up, although " + running(*starter) +
                             " runs: nothing is renewed until it does, and if it stays so, " + look_at(*starter)),
            exit_failed, true};
  const std::string place =
      lead.kind == Lead::Kind::command ? " (" + who + ", an evercert command, has its place for a moment)" : "";
  return {line + "is not running" + place + ": nothing is renewed until it is; if " + server + " runs, its error log says why",
          exit_unreachable, true};
}

// What an agent claims of its present is true as long as it lives; what it saw stays what it saw.
void mark_as_last_known(StatusOnDisk& status, const std::string& sentence, Now now) {
  Json& agent = status.json["agent"];
  if (!agent.is_object()) agent = Json::object();
  agent["state"] = "silent";
  agent["message"] = sentence;
  Json& list = status.json["certificates"];
  if (!list.is_array()) list = Json::array();
  for (Json& certificate : list) {
    if (!certificate.is_object()) continue;
    const std::string state = raw_text_in(certificate, "state");
    const auto end = time_in(raw_text_in(certificate, "not_after"));
    certificate["last_known"] = Json{{"state", state}, {"served", member_in(certificate, "served")}};
    const bool good = state == "served" || state == "issued" || state == "issued_not_served" || state == "failing";
    if (good && end && *end <= now)
      certificate["state"] = "expired";
    else if (state == "served")
      certificate["state"] = "issued";
    else if (state == "ordering")
      certificate["state"] = "waiting";
    certificate["served"] = nullptr;
    certificate["now"] = nullptr;
  }
  status.text = dump_json(status.json);
}

}  // namespace

AgentWord word_of_agent(StatusOnDisk& status, std::chrono::system_clock::time_point now) {
  if (status.was_never_written()) {
    AgentWord word = word_before_any(status);
    word.sentence = printable(word.sentence);
    return word;
  }
  AgentWord word = word_of_page(status, now);
  if (word.gone) mark_as_last_known(status, word.sentence, now);
  return word;
}

}  // namespace evercert
