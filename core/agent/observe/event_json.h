// An event as the JSON object that the audit trail keeps and the control socket sends: one shape for everybody who reads
// events. Changes only by addition.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "agent/observe/event.h"

namespace evercert {

// {"name","at","level","certificate","issuer","sentence",…fields}; certificate and issuer only when the event has them. A
// field cannot displace one of these. Fields that count (generation, milliseconds, seconds, attempt) become numbers.
nlohmann::json event_json(const Event& event);

// RFC 3339 in UTC with milliseconds.
std::string to_rfc3339_milliseconds(std::chrono::system_clock::time_point time);

}  // namespace evercert
