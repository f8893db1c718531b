// Reading JSON that others wrote, without exceptions reaching the caller: "member x as y, or a sentence that names the path".
#pragma once

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "evercert/result.h"

namespace evercert {

using Json = nlohmann::json;

// Deeper nesting, or more values, than any document that we write or that a CA documents. nlohmann copies, compares and
// writes a value by recursion, so that whoever may nest without end ends the process; and a value takes some sixty times the
// two bytes it has as text.
inline constexpr unsigned deepest_json = 32;
inline constexpr std::size_t most_json_values = 2'000'000;

// The only way in for JSON (evercert.json excepted, whose reader knows no levels but its own). `what` names the document in
// the error ("the directory of https://…").
Result<Json> parse_json(std::string_view text, const std::string& what);

// Each reads one member of an object; errors name document and member. The _or forms: absent or null gives the fallback,
// but a wrong type is still an error.
Result<std::string> json_text(const Json& object, std::string_view member, const std::string& what);
Result<std::optional<std::string>> json_optional_text(const Json& object, std::string_view member, const std::string& what);
Result<std::vector<std::string>> json_texts(const Json& object, std::string_view member, const std::string& what);
// Numbers beyond low … high are an error as well.
Result<std::int64_t> json_number(const Json& object, std::string_view member, const std::string& what,
                                 std::int64_t low = std::numeric_limits<std::int64_t>::min(),
                                 std::int64_t high = std::numeric_limits<std::int64_t>::max());

// Never throws: bytes that are not UTF-8 are replaced.
std::string dump_json(const Json& value);

// Overwrites every text of a value that carried secrets, however deep.
void wipe_texts(Json& value) noexcept;

}  // namespace evercert
