#include "serving/base/json.h"

#include <algorithm>

#include "evercert/text.h"

namespace evercert {

namespace {

constexpr std::size_t beginning_shown = 40;

Error wrong(const std::string& what, std::string_view member, const std::string& expected) {
  return {ErrorKind::issuer_refused, what + ": member \"" + std::string(member) + "\" " + expected};
}

const Json* member_of(const Json& object, std::string_view member) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(member);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

// What the parser would build, counted without building it. Text that is not JSON may be counted wrongly: the parser says so.
struct Extent {
  unsigned depth = 0;
  std::size_t values = 0;
};

Extent extent_of(std::string_view text) {
  Extent extent;
  unsigned depth = 0;
  bool quoted = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char letter = text[at];
    if (quoted) {
      if (letter == '\\') ++at;
      quoted = letter != '"';
    } else if (letter == '"') {
      quoted = true;
    } else if (letter == '[' || letter == '{') {
      extent.depth = std::max(extent.depth, ++depth);
      ++extent.values;
    } else if (letter == ']' || letter == '}') {
      depth -= depth == 0 ? 0 : 1;
    } else if (letter == ',') {
      ++extent.values;
    }
  }
  return extent;
}

}  // namespace

Result<Json> parse_json(std::string_view text, const std::string& what) {
  const Extent extent = extent_of(text);
  if (extent.depth > deepest_json)
    return Error{ErrorKind::issuer_refused, what + " is nested more than " + std::to_string(deepest_json) + " deep"};
  if (extent.values > most_json_values)
    return Error{ErrorKind::issuer_refused, what + " holds more than " + std::to_string(most_json_values) + " values"};
  Json value = Json::parse(text, nullptr, false);
  if (value.is_discarded()) {
    return Error{ErrorKind::issuer_refused, what + " is not JSON (it begins \"" + printable(text, beginning_shown) + "\")"};
  }
  return value;
}

Result<std::string> json_text(const Json& object, std::string_view member, const std::string& what) {
  const Json* value = member_of(object, member);
  if (value == nullptr) return wrong(what, member, "is missing");
  if (!value->is_string()) return wrong(what, member, "is not a string");
  return value->get<std::string>();
}

Result<std::optional<std::string>> json_optional_text(const Json& object, std::string_view member, const std::string& what) {
  const Json* value = member_of(object, member);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return wrong(what, member, "is not a string");
  return std::optional<std::string>(value->get<std::string>());
}

Result<std::vector<std::string>> json_texts(const Json& object, std::string_view member, const std::string& what) {
  const Json* value = member_of(object, member);
  if (value == nullptr) return std::vector<std::string>();
  if (!value->is_array()) return wrong(what, member, "is not an array");
  std::vector<std::string> texts;
  for (const Json& item : *value) {
    if (!item.is_string()) return wrong(what, member, "holds something that is not a string");
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

Result<std::int64_t> json_number(const Json& object, std::string_view member, const std::string& what, std::int64_t low,
                                 std::int64_t high) {
  const Json* value = member_of(object, member);
  if (value == nullptr) return wrong(what, member, "is missing");
  if (!value->is_number_integer()) return wrong(what, member, "is not a whole number");
  // What fits into 64 bits without a sign only would come out negative.
  const bool fits = !value->is_number_unsigned() ||
                    value->get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!fits || value->get<std::int64_t>() < low || value->get<std::int64_t>() > high) {
    return wrong(what, member, "is not a number from " + std::to_string(low) + " to " + std::to_string(high));
  }
  return value->get<std::int64_t>();
}

std::string dump_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void wipe_texts(Json& value) noexcept {
  if (auto* text = value.get_ptr<std::string*>())
    wipe(*text);
  else if (value.is_structured())
    for (auto& member : value) wipe_texts(member);
}

}  // namespace evercert
