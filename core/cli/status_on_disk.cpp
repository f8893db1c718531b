#include "cli/status_on_disk.h"

#include <unistd.h>

#include <algorithm>

#include "agent/observe/status_report.h"
#include "cli/commands.h"
#include "evercert/lines.h"
#include "evercert/status.h"
#include "evercert/text.h"
#include "serving/base/json.h"
#include "serving/base/limits.h"

namespace evercert {
namespace {

// Whoever may not read the seal key still sees what the folders are called.
Json stored_certificates(const std::string& state_path, const StateReader& state) {
  Json found = Json::array();
  const Result<std::optional<SealKeys>> keys = keys_of(state_path);
  if (keys && *keys) {
    for (const StoredLine& line : stored_lines(state, (*keys)->serving, nullptr).lines) {
      Json identifiers = Json::array();
      for (const Identifier& identifier : line.identifiers) identifiers.push_back(identifier.value);
      found.push_back(Json{{"name", line.name},
                           {"identifiers", std::move(identifiers)},
                           {"issuer", line.issuer},
                           {"generation", line.generation},
                           {"not_after", to_rfc3339(line.not_after)}});
    }
    return found;
  }
  const Result<std::vector<std::string>> folders = state.list("certificates");
  constexpr std::string_view wildcard = "_wildcard_";
  for (std::string name : folders ? *folders : std::vector<std::string>()) {
    if (name.starts_with(wildcard)) name.replace(0, wildcard.size(), "*");
    found.push_back(Json{{"name", name}, {"identifiers", Json::array()}});
  }
  return found;
}

}  // namespace

std::string raw_text_in(const Json& object, const char* member) {
  const auto found = object.is_object() ? object.find(member) : object.end();
  return object.is_object() && found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::string text_in(const Json& object, const char* member) {
  return printable(raw_text_in(object, member));
}

std::uint64_t number_in(const Json& object, const char* member) {
  const auto found = object.is_object() ? object.find(member) : object.end();
  return object.is_object() && found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

const Json& member_in(const Json& object, const char* member) {
  static const Json nothing;
  const auto found = object.is_object() ? object.find(member) : object.end();
  return object.is_object() && found != object.end() ? *found : nothing;
}

std::string texts_in(const Json& object, const char* member) {
  std::string all;
  for (const Json& one : member_in(object, member))
    if (one.is_string()) all += (all.empty() ? "" : ", ") + printable(one.get<std::string>());
  return all;
}

Result<StatusOnDisk> read_status(const Request& request) {
  Result<std::string> state_path = state_path_of(request);
  if (!state_path) {
    return state_path.error();
  }
  const std::string folder = *state_path + "/state";
  if (::access(folder.c_str(), F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
    return Error{ErrorKind::storage,
                 "there is no " + folder +
                     ": no server has been started with this state directory yet; start it, or name another "
                     "with --state, --config or EVERCERT_STATE"};
  }
  Result<StateReader> state = StateReader::open(*state_path);
  if (!state) {
    return state.error();
  }
  const Result<StatusPage> page = status_page(*state, StatusForm::json, std::chrono::system_clock::now());
  if (!page) {
    return page.error();
  }
  std::string text;
  while (text.size() < page->size()) {
    Result<std::string> more = read_page(*page, text.size(), size::mebi);
    if (!more) {
      return more.error();
    }
    text += *more;
  }
  Result<Json> json = parse_json(text, "the status in " + *state_path);
  if (!json) {
    return Error{ErrorKind::storage, json.error().message};
  }
  StatusOnDisk status{*state_path, std::move(*state), std::move(text), std::move(*json)};
  if (!status.was_never_written() || !status.json.is_object()) return status;
  Json stored = stored_certificates(status.state_path, status.state);
  if (!stored.empty()) {
    status.json["unnamed"] = std::move(stored);
    status.text = dump_json(status.json);
  }
  return status;
}

std::vector<std::string> names_in(const Json& status, const char* list) {
  std::vector<std::string> names;
  for (const Json& certificate : member_in(status, list)) {
    names.push_back(raw_text_in(certificate, "name"));
  }
  std::sort(names.begin(), names.end());
  return names;
}

const Json* certificate_in(const Json& status, const char* list, const std::string& name) {
  const Json* found = nullptr;
  unsigned count = 0;
  for (const Json& certificate : member_in(status, list)) {
    if (raw_text_in(certificate, "name") == name) {
      return &certificate;
    }
    for (const Json& identifier : member_in(certificate, "identifiers")) {
      if (identifier == name) {
        found = &certificate;
        ++count;
      }
    }
  }
  return count == 1 ? found : nullptr;
}

}  // namespace evercert
