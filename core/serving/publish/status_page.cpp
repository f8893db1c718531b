#include <fcntl.h>
#include <sys/stat.h>

#include <cstdio>
#include <ctime>
#include <map>

#include "evercert/status.h"
#include "serving/base/json.h"

namespace evercert {

namespace {

constexpr std::chrono::minutes silent_after{2};

const char* file_of(StatusForm form) {
  switch (form) {
    case StatusForm::json:
      return "status.json";
    case StatusForm::metrics:
      return "status.prom";
    case StatusForm::text:
      return "status.txt";
    case StatusForm::html:
      break;
  }
  return "status.html";
}

// By the file's own time, which is the same for all forms and needs no parsing.
std::optional<std::chrono::system_clock::time_point> rendered_at(const StateReader& state, const char* file) {
  struct stat facts {};
  if (::fstatat(state.descriptor(), file, &facts, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
  const auto since = std::chrono::seconds(facts.st_mtim.tv_sec) + std::chrono::nanoseconds(facts.st_mtim.tv_nsec);
  return std::chrono::system_clock::time_point(std::chrono::duration_cast<std::chrono::system_clock::duration>(since));
}

std::string silence(std::chrono::system_clock::time_point at) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(at);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  static_cast<void>(std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts));
  return std::string("The agent is not running: this page is of ") + text +
         ". Certificates go on being served, but none is renewed. See the server's error log.";
}

std::string silent_html(std::string page, const std::string& sentence) {
  const std::string line = "<p class=\"silent\" role=\"alert\"><strong>" + sentence + "</strong></p>\n";
  std::size_t at = page.find("<body");
  if (at != std::string::npos) at = page.find('>', at);
  return page.insert(at == std::string::npos ? 0 : at + 1, line);
}

Result<std::string> silent_json(const std::string& page, const std::string& sentence) {
  auto document = parse_json(page, "status.json");
  if (!document || !document->is_object())
    return Error{ErrorKind::storage, "status.json in the state directory is damaged; the agent writes it anew when it runs"};
  Json& agent = (*document)["agent"];
  if (!agent.is_object()) agent = Json::object();
  agent["state"] = "silent";
  agent["message"] = sentence;
  return dump_json(*document) + "\n";
}

std::string silent_metrics(const std::string& page) {
  static constexpr std::string_view name = "evercert_agent_up";
  std::string changed;
  bool found = false;
  for (std::size_t at = 0; at < page.size();) {
    std::size_t end = page.find('\n', at);
    if (end == std::string::npos) end = page.size();
    const std::string_view line(page.data() + at, end - at);
    const bool is_sample =
        line.starts_with(name) && line.size() > name.size() && (line[name.size()] == ' ' || line[name.size()] == '{');
    const std::size_t value = line.rfind(' ');
    if (is_sample && value != std::string_view::npos) {
      changed.append(line.substr(0, value)).append(" 0\n");
      found = true;
    } else {
      changed.append(line).append("\n");
    }
    at = end + 1;
  }
  if (!found) changed.append("# TYPE evercert_agent_up gauge\nevercert_agent_up 0\n");
  return changed;
}

std::string first_page(StatusForm form) {
  static constexpr std::string_view sentence =
      "The agent has not rendered a status yet. If this stays so for a minute, see the server's error log.";
  switch (form) {
    case StatusForm::json:
      return dump_json(Json{{"format", 1},
                            {"agent", {{"state", "silent"}, {"message", sentence}}},
                            {"certificates", Json::array()},
                            {"orders", Json::array()}}) +
             "\n";
    case StatusForm::metrics:
      return silent_metrics({});
    case StatusForm::text:
      return std::string(sentence) + "\n";
    case StatusForm::html:
      break;
  }
  return "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>evercert</title></head><body><p>" +
         std::string(sentence) + "</p></body></html>\n";
}

// A member of an object that may be missing, null or a number.
std::string member(const Json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  if (!object.is_object() || found == object.end() || found->is_null()) return {};
  return found->is_string() ? found->get<std::string>() : dump_json(*found);
}

Json part(const Json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  return object.is_object() && found != object.end() ? *found : Json();
}

std::string escaped(const std::string& words) {
  std::string safe;
  for (const char letter : words) {
    const std::string_view entity = letter == '<'   ? "&lt;"
                                    : letter == '>' ? "&gt;"
                                    : letter == '&' ? "&amp;"
                                    : letter == '"' ? "&quot;"
                                                    : "";
    entity.empty() ? safe.push_back(letter) : static_cast<void>(safe.append(entity));
  }
  return safe;
}

std::string section_html(const std::string& agent, const Json& certificates) {
  std::string html =
      "<hr />\n<h2>evercert (agent: " + escaped(agent) +
      ")</h2>\n<table border=\"0\"><tr><th>Certificate</th><th>State</th><th>Until</th><th>Served generation</th>"
      "<th>Next</th><th>Problem</th></tr>\n";
  for (const Json& certificate : certificates) {
    const Json next = part(certificate, "next");
    html += "<tr>";
    for (const std::string& words :
         {member(certificate, "name"), member(certificate, "state"), member(certificate, "not_after"),
          member(part(certificate, "served"), "generation"), member(next, "at") + " " + member(next, "why"),
          member(part(certificate, "problem"), "message")})
      html += "<td>" + escaped(words) + "</td>";
    html += "</tr>\n";
  }
  return html + "</table>\n";
}

std::string section_lines(const std::string& agent, const Json& certificates) {
  std::map<std::string, unsigned> states;
  for (const Json& certificate : certificates) ++states[member(certificate, "state")];
  std::string lines = "EvercertAgent: " + agent + "\nEvercertCertificates: " + std::to_string(certificates.size()) + "\n";
  for (const auto& [state, count] : states) lines += "EvercertState" + camel_case(state) + ": " + std::to_string(count) + "\n";
  return lines;
}

}  // namespace

std::optional<StatusForm> status_form(std::string_view rest) {
  if (rest.empty() || rest == "/") return StatusForm::html;
  if (rest == "/json") return StatusForm::json;
  if (rest == "/metrics") return StatusForm::metrics;
  if (rest == "/text") return StatusForm::text;
  return std::nullopt;
}

std::string_view content_type(StatusForm form) {
  switch (form) {
    case StatusForm::json:
      return "application/json";
    case StatusForm::metrics:
      return "text/plain; version=0.0.4; charset=utf-8";
    case StatusForm::text:
      return "text/plain; charset=utf-8";
    case StatusForm::html:
      break;
  }
  return "text/html; charset=utf-8";
}

Result<std::string> status_page(const StateReader& state, StatusForm form, std::chrono::system_clock::time_point now) {
  const char* file = file_of(form);
  const auto at = rendered_at(state, file);
  auto bytes = state.read(file);
  if (!bytes) return bytes.error();
  if (!*bytes || !at) return first_page(form);
  std::string page((*bytes)->begin(), (*bytes)->end());
  if (now - *at <= silent_after) return page;
  switch (form) {
    case StatusForm::json:
      return silent_json(page, silence(*at));
    case StatusForm::metrics:
      return silent_metrics(page);
    case StatusForm::text:
      return silence(*at) + "\n" + page;
    case StatusForm::html:
      break;
  }
  return silent_html(std::move(page), silence(*at));
}

Result<std::string> status_section(const StateReader& state, SectionForm form, std::chrono::system_clock::time_point now) {
  auto page = status_page(state, StatusForm::json, now);
  if (!page) return page.error();
  const auto document = parse_json(*page, "status.json");
  if (!document) return document.error();
  const Json certificates = part(*document, "certificates");
  const std::string agent = member(part(*document, "agent"), "state");
  return form == SectionForm::html ? section_html(agent, certificates) : section_lines(agent, certificates);
}

}  // namespace evercert
