// status, list, show, version: what is on disk, told to a person or a program.
#include <openssl/crypto.h>

#include <algorithm>
#include <iomanip>
#include <ostream>

#include "agent/observe/audit_trail.h"
#include "agent/observe/status_report.h"
#include "cli/commands.h"
#include "cli/conversation.h"
#include "cli/pairs.h"
#include "cli/terminal.h"
#include "evercert/status.h"
#include "serving/base/json.h"
#include "serving/base/limits.h"
#include "serving/config/reference.h"

namespace evercert {
namespace {

constexpr std::size_t events_shown = 20;

// A member as text: empty when it is absent or not a string. As it stands there: for comparing, not for showing.
std::string raw_text_in(const Json& object, const char* member) {
  const auto found = object.is_object() ? object.find(member) : object.end();
  return object.is_object() && found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// The same, to be shown.
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

struct StatusOnDisk {
  std::string state_path;
  StateReader state;
  std::string text;
  Json json;
};

Result<StatusOnDisk> read_status(const Request& request) {
  Result<std::string> state_path = state_path_of(request);
  if (!state_path) {
    return state_path.error();
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
  return StatusOnDisk{*state_path, std::move(*state), std::move(text), std::move(*json)};
}

std::vector<std::string> names_in(const Json& status) {
  std::vector<std::string> names;
  for (const Json& certificate : member_in(status, "certificates")) {
    names.push_back(raw_text_in(certificate, "name"));
  }
  std::sort(names.begin(), names.end());
  return names;
}

// By the name it is called, or by one of its names where no other certificate has it.
const Json* certificate_in(const Json& status, const std::string& name) {
  const Json* found = nullptr;
  unsigned count = 0;
  for (const Json& certificate : member_in(status, "certificates")) {
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

// What stands in for the page of an agent that has not written one.
bool was_never_written(const Json& status) {
  return raw_text_in(status, "generated_at").empty();
}

int never_started(const std::string& state_path, Surroundings& surroundings) {
  surroundings.err << "no server has been started with the state directory " << printable(state_path)
                   << " yet, or its agent has not come so far; start it, or name another directory with --state or --config\n";
  return exit_done;
}

int no_such_certificate(const StatusOnDisk& status, const std::string& name, Surroundings& surroundings) {
  if (was_never_written(status.json)) {
    never_started(status.state_path, surroundings);
    return exit_failed;
  }
  const std::string near = nearest_word(name, names_in(status.json));
  surroundings.err << "there is no certificate \"" << printable(name) << "\" in " << status.state_path
                   << (near.empty() ? "; evercert list names them" : ", did you mean \"" + printable(near) + "\"?") << "\n";
  return exit_failed;
}

Colour colour_of(const std::string& state) {
  if (state == "served") {
    return Colour::good;
  }
  return state == "waiting" || state == "ordering" || state == "issued" ? Colour::busy : Colour::bad;
}

std::string agent_line(const Json& status, const std::string& state_path) {
  const Json& agent = member_in(status, "agent");
  const std::string state = text_in(agent, "state");
  std::string line = "evercert " + text_in(status, "version") + ", server " + text_in(status, "server") + ", as of " +
                     text_in(status, "generated_at") + "; the agent ";
  if (state == "silent" || state.empty()) {
    // The page is as old as its writer's last word; who holds the lead now, the kernel knows.
    const std::optional<std::string> leader = leader_of(state_path);
    return leader ? line + "is silent: " + silent_agent(*leader) : line + "is not running: nothing is renewed until it is";
  }
  return line + "(" + state + ", process " + std::to_string(number_in(agent, "pid")) + ") runs since " +
         text_in(agent, "since");
}

// What happens next, or what stands in the way: one line under the certificate.
void print_notes(const Json& certificate, Surroundings& surroundings) {
  for (const Json& one : member_in(certificate, "meanwhile")) {
    surroundings.out << "    " << printable(text_in(one, "identifier")) << " meanwhile from " << printable(text_in(one, "line"))
                     << "\n";
  }
  const Json& other_names = member_in(certificate, "certificate_identifiers");
  if (other_names.is_array() && !other_names.empty()) {
    surroundings.out << "    the certificate is for";
    for (const Json& name : other_names) {
      surroundings.out << " " << printable(name.is_string() ? name.get<std::string>() : "");
    }
    surroundings.out << "\n";
  }
  const std::string now = text_in(certificate, "now");
  if (!now.empty()) {
    surroundings.out << "    now: " << printable(now) << "\n";
  }
  const Json& problem = member_in(certificate, "problem");
  if (problem.is_object()) {
    surroundings.out << "    problem since " << text_in(problem, "since") << " (" << text_in(problem, "kind")
                     << "): " << text_in(problem, "message") << "\n    what you can do: " << text_in(problem, "remedy") << "\n";
  }
  for (const Json& left : member_in(certificate, "set_aside")) {
    surroundings.out << "    issuer " << text_in(left, "issuer") << " is set aside until " << text_in(left, "until") << " ("
                     << text_in(left, "key") << "): " << text_in(left, "message") << "\n";
  }
}

std::vector<std::string> row_of(const Json& certificate) {
  const Json& served = member_in(certificate, "served");
  const Json& next = member_in(certificate, "next");
  const std::string until = text_in(certificate, "not_after");
  return {text_in(certificate, "name"), text_in(certificate, "state"), until.empty() ? "-" : until,
          served.is_object() ? std::to_string(number_in(served, "generation")) : "-",
          next.is_object() ? text_in(next, "at") + "  " + text_in(next, "why") : "-"};
}

void print_table(const std::vector<const Json*>& certificates, Surroundings& surroundings) {
  const std::vector<std::string> titles{"NAME", "STATE", "UNTIL", "SERVED", "NEXT"};
  std::vector<std::vector<std::string>> rows;
  std::vector<std::size_t> widths;
  widths.reserve(titles.size());
  for (const std::string& title : titles) {
    widths.push_back(title.size());
  }
  for (const Json* certificate : certificates) {
    rows.push_back(row_of(*certificate));
    for (std::size_t column = 0; column < titles.size(); ++column) {
      widths[column] = std::max(widths[column], rows.back()[column].size());
    }
  }
  const auto print_row = [&](const std::vector<std::string>& row, Colour colour) {
    for (std::size_t column = 0; column < row.size(); ++column) {
      const bool last = column + 1 == row.size();
      const std::string padding(last ? 0 : widths[column] - row[column].size() + 2, ' ');
      surroundings.out << (column == 1 ? coloured(row[column], colour, surroundings.colours) : row[column]) << padding;
    }
    surroundings.out << "\n";
  };
  print_row(titles, Colour::plain);
  for (std::size_t index = 0; index < rows.size(); ++index) {
    print_row(rows[index], colour_of(rows[index][1]));
    print_notes(*certificates[index], surroundings);
  }
}

// Stored certificates that no configuration names.
void print_unnamed(const Json& status, Surroundings& surroundings) {
  const Json& lines = member_in(status, "unnamed");
  if (!lines.is_array() || lines.empty()) {
    return;
  }
  surroundings.out << "\nstored, named by no configuration:\n";
  for (const Json& line : lines) {
    surroundings.out << printable(text_in(line, "name")) << "  until " << printable(text_in(line, "not_after")) << ", for";
    for (const Json& name : member_in(line, "identifiers")) {
      surroundings.out << " " << printable(name.is_string() ? name.get<std::string>() : "");
    }
    surroundings.out << "\n";
  }
}

// What is awaited of CAs, and accounts there that people should see to; of one certificate what concerns it.
void print_accounts(const Json& status, const Json* certificate, Surroundings& surroundings) {
  const std::string name = certificate == nullptr ? "" : text_in(*certificate, "name");
  const std::string issuer = certificate == nullptr ? "" : text_in(*certificate, "issuer");
  for (const Json& one : member_in(status, "awaited")) {
    if (certificate != nullptr && text_in(one, "certificate") != name) continue;
    surroundings.out << awaited_sentence(text_in(one, "issuer"), text_in(one, "what"), text_in(one, "certificate"),
                                         text_in(one, "order"), text_in(one, "since"))
                     << "\n";
  }
  for (const Json& one : member_in(status, "accounts")) {
    const Json& low = member_in(one, "low");
    if (!low.is_boolean() || !low.get<bool>() || (certificate != nullptr && text_in(one, "issuer") != issuer)) continue;
    surroundings.out << coloured(low_balance_sentence(text_in(one, "issuer"), text_in(one, "balance"), text_in(one, "currency"),
                                                      text_in(one, "seen")),
                                 Colour::bad, surroundings.colours)
                     << "\n";
  }
}

}  // namespace

int print_status(const Request& request, Surroundings& surroundings) {
  Result<StatusOnDisk> status = read_status(request);
  if (!status) {
    return fail(status.error(), surroundings);
  }
  std::vector<const Json*> certificates;
  if (!request.name.empty()) {
    const Json* certificate = certificate_in(status->json, request.name);
    if (certificate == nullptr) {
      return no_such_certificate(*status, request.name, surroundings);
    }
    certificates.push_back(certificate);
  } else {
    for (const Json& certificate : member_in(status->json, "certificates")) {
      certificates.push_back(&certificate);
    }
  }
  if (request.json) {
    if (request.name.empty()) {
      surroundings.out << printable_json(status->text) << (status->text.ends_with('\n') ? "" : "\n");
      return exit_done;
    }
    Json one = status->json;
    one["certificates"] = Json::array({*certificates.front()});
    surroundings.out << printable_json(dump_json(one)) << "\n";
    return exit_done;
  }
  if (was_never_written(status->json)) {
    return never_started(status->state_path, surroundings);
  }
  surroundings.err << agent_line(status->json, status->state_path) << "\n";
  if (certificates.empty()) {
    surroundings.err << "there is no certificate yet\n";
  } else {
    print_table(certificates, surroundings);
  }
  print_accounts(status->json, request.name.empty() ? nullptr : certificates.front(), surroundings);
  if (request.name.empty()) {
    print_unnamed(status->json, surroundings);
  }
  return exit_done;
}

int print_list(const Request& request, Surroundings& surroundings) {
  Result<StatusOnDisk> status = read_status(request);
  if (!status) {
    return fail(status.error(), surroundings);
  }
  const std::vector<std::string> names = names_in(status->json);
  if (request.json) {
    surroundings.out << printable_json(dump_json(Json{{"format", 1}, {"certificates", names}})) << "\n";
    return exit_done;
  }
  for (const std::string& name : names) {
    surroundings.out << printable(name) << "\n";
  }
  return exit_done;
}

int print_certificate(const Request& request, Surroundings& surroundings) {
  Result<StatusOnDisk> status = read_status(request);
  if (!status) {
    return fail(status.error(), surroundings);
  }
  const Json* certificate = certificate_in(status->json, request.name);
  if (certificate == nullptr) {
    return no_such_certificate(*status, request.name, surroundings);
  }
  const std::string name = text_in(*certificate, "name");
  Result<std::vector<Json>> events = recent_events(status->state, name, events_shown);
  if (!events) {
    surroundings.err << "the audit trail cannot be read: " << printable(events.error().message) << "\n";
    events = std::vector<Json>{};
  }
  Result<Json> pairs = pair_facts(status->state_path, status->state, name);
  if (!pairs) {
    surroundings.err << printable(pairs.error().message) << "\n";
    pairs = Json::array();
  }
  if (request.json) {
    surroundings.out << printable_json(dump_json(
                            Json{{"format", 1}, {"certificate", *certificate}, {"pairs", *pairs}, {"events", *events}}))
                     << "\n";
    return exit_done;
  }
  surroundings.err << agent_line(status->json, status->state_path) << "\n";
  print_table({certificate}, surroundings);
  print_accounts(status->json, certificate, surroundings);
  for (const Json& pair : *pairs) {
    surroundings.out << "\n"
                     << text_in(pair, "key") << "  serial " << text_in(pair, "serial") << "\n  from "
                     << text_in(pair, "not_before") << " until " << text_in(pair, "not_after") << ", "
                     << number_in(pair, "chain") << " certificates in its chain\n  SHA-256 " << text_in(pair, "sha256") << "\n";
    for (const Json& identifier : member_in(pair, "identifiers")) {
      surroundings.out << "  " << printable(identifier.is_string() ? identifier.get<std::string>() : "") << "\n";
    }
  }
  surroundings.out << (events->empty() ? "" : "\n");
  for (const Json& event : *events) {
    surroundings.out << text_in(event, "at") << "  " << std::left << std::setw(20) << text_in(event, "name") << "  "
                     << text_in(event, "sentence") << "\n";
  }
  return exit_done;
}

int print_version(const Request& request, Surroundings& surroundings) {
  const std::string openssl = OpenSSL_version(OPENSSL_VERSION_STRING);
  if (request.json) {
    surroundings.out << printable_json(dump_json(Json{{"format", 1}, {"version", EVERCERT_VERSION}, {"openssl", openssl}}))
                     << "\n";
  } else {
    surroundings.out << "evercert " << EVERCERT_VERSION << " (OpenSSL " << openssl << ")\n";
  }
  return exit_done;
}

int print_reference(const Request&, Surroundings& surroundings) {
  surroundings.out << options_reference();
  return exit_done;
}

}  // namespace evercert
