#include "agent/observe/event_json.h"

#include <charconv>
#include <cstdio>

#include "agent/observe/status_report.h"
#include "serving/base/json.h"
#include "serving/base/log_words.h"

namespace evercert {
namespace {

bool counts(std::string_view field) {
  return field == "generation" || field == "milliseconds" || field == "seconds" || field == "attempt";
}

Json field_value(const std::string& name, const std::string& text) {
  if (counts(name)) {
    std::uint64_t number = 0;
    const char* end = text.data() + text.size();
    const auto [stopped, fault] = std::from_chars(text.data(), end, number);
    if (fault == std::errc{} && stopped == end) {
      return number;
    }
    double fraction = 0;
    const auto [rest, no_fraction] = std::from_chars(text.data(), end, fraction);
    if (no_fraction == std::errc{} && rest == end) {
      return fraction;
    }
  }
  return text;
}

}  // namespace

std::string to_rfc3339_milliseconds(std::chrono::system_clock::time_point time) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(time - whole).count();
  std::string text = to_rfc3339(whole);
  text.pop_back();
  char fraction[8];
  static_cast<void>(std::snprintf(fraction, sizeof fraction, ".%03uZ", static_cast<unsigned>(rest) % 1000U));
  return text + fraction;
}

Json event_json(const Event& event) {
  Json object = Json::object();
  for (const auto& [name, text] : event.fields) {
    object[name] = field_value(name, text);
  }
  object["name"] = event.name;
  object["at"] = to_rfc3339_milliseconds(event.at);
  object["level"] = to_string(event.level);
  object["sentence"] = event.sentence;
  object.erase("certificate");
  object.erase("issuer");
  if (!event.certificate.empty()) {
    object["certificate"] = event.certificate;
  }
  if (!event.issuer.empty()) {
    object["issuer"] = event.issuer;
  }
  return object;
}

}  // namespace evercert
