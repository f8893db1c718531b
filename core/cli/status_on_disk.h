// The status as it lies on the disk, and what is stored where no agent has written one. All of it comes from files that others
// may write: members are read with care, and texts pass printable() before they are shown.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "evercert/state.h"

namespace evercert {

// A member as text: empty when it is absent or no string. As it stands there: for comparing, not for showing.
std::string raw_text_in(const nlohmann::json& object, const char* member);
// The same, to be shown.
std::string text_in(const nlohmann::json& object, const char* member);
std::uint64_t number_in(const nlohmann::json& object, const char* member);
const nlohmann::json& member_in(const nlohmann::json& object, const char* member);
// "a, b": strings in an array, to be shown.
std::string texts_in(const nlohmann::json& object, const char* member);

struct StatusOnDisk {
  std::string state_path;
  StateReader state;
  std::string text;
  nlohmann::json json;
  [[nodiscard]] bool was_never_written() const { return raw_text_in(json, "generated_at").empty(); }
};

// Where none was written yet, its "unnamed" says what is stored, as far as we may look. Errors: storage; configuration.
Result<StatusOnDisk> read_status(const Request& request);

std::vector<std::string> names_in(const nlohmann::json& status, const char* list);  // "certificates" or "unnamed"; sorted

// By the name it is called, or by one of its names where no other certificate has it; null: there is none.
const nlohmann::json* certificate_in(const nlohmann::json& status, const char* list, const std::string& name);

}  // namespace evercert
