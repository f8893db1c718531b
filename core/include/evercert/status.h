// Status as any process may show it: the agent renders the pages into the state directory, everybody else only sends them.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "evercert/result.h"
#include "evercert/state.h"

namespace evercert {

enum class StatusForm { html, json, metrics, text };
// "" or "/" → html, "/json" → json, "/metrics" → metrics, "/text" → text, else nullopt. `rest`: the path below the status
// location.
std::optional<StatusForm> status_form(std::string_view rest);
std::string_view content_type(StatusForm form);

// The page as last rendered. When it is older than two minutes the agent is not running, and the page says so: HTML gets a
// line on top (text likewise), JSON agent.state "silent", metrics evercert_agent_up 0. Before the first rendering: a page that
// says so.
Result<std::string> status_page(const StateReader& state, StatusForm form, std::chrono::system_clock::time_point now);

// The same in a few words, for a server's own status page: a heading and a table, or lines "EvercertWord: value".
enum class SectionForm { html, lines };
Result<std::string> status_section(const StateReader& state, SectionForm form, std::chrono::system_clock::time_point now);

}  // namespace evercert
