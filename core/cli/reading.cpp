// status, list, show, version: what is on disk, told to a person or a program.
#include <openssl/crypto.h>

#include <algorithm>
#include <iomanip>
#include <ostream>

#include "agent/observe/audit_trail.h"
#include "agent/observe/status_report.h"
#include "cli/agent_word.h"
#include "cli/commands.h"
#include "cli/pairs.h"
#include "cli/status_on_disk.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "serving/base/json.h"
#include "serving/base/rfc3339.h"
#include "serving/config/words.h"

namespace evercert {
namespace {

constexpr std::size_t events_shown = 20;

using Now = std::chrono::system_clock::time_point;

std::string no_such_certificate(StatusOnDisk& status, const std::string& name) {
  std::vector<std::string> known = names_in(status.json, "certificates");
  for (const std::string& unnamed : names_in(status.json, "unnamed")) known.push_back(unnamed);
  if (known.empty() && status.was_never_written()) {
    return word_of_agent(status, std::chrono::system_clock::now()).sentence;
  }
  return "there is no certificate \"" + name + "\" in " + status.state_path +
         did_you_mean(name, known, "; evercert list names them");
}

Colour colour_of(const std::string& state) {
  if (state == "served") {
    return Colour::good;
  }
  return state == "waiting" || state == "ordering" || state == "issued" ? Colour::busy : Colour::bad;
}

// "in 79 d"; a text that is no time is shown as it is.
std::string relative_in(const Json& object, const char* member, Now now) {
  const auto time = time_in(raw_text_in(object, member));
  return time ? relative_time(*time, now) : text_in(object, member);
}

// Of what is to come: when that has passed, it is being done, or waits for an agent.
std::string relative_to_come(const Json& object, const char* member, bool gone, Now now) {
  const auto time = time_in(raw_text_in(object, member));
  if (!time || *time > now) return relative_in(object, member, now);
  return gone ? "once it runs" : "now";
}

// Notes under a certificate, and the lines of `show`: as wide as the terminal, nothing is cut.
class Lines {
 public:
  explicit Lines(Surroundings& surroundings) : surroundings_(surroundings) {}
  void note(const std::string& text) const { surroundings_.out << wrapped(text, surroundings_.columns, 4, 6) << "\n"; }
  void fact(const std::string& name, const std::string& text) const {
    if (text.empty()) return;
    constexpr std::size_t wide = 16;
    const std::string start = "    " + name;
    surroundings_.out << start << wrapped(text, surroundings_.columns, wide, wide).substr(std::min(start.size(), wide - 1))
                      << "\n";
  }

 private:
  Surroundings& surroundings_;
};

// What happens next, or what stands in the way.
void print_notes(const Json& certificate, const Lines& lines, Now now) {
  for (const Json& one : member_in(certificate, "meanwhile")) {
    lines.note(text_in(one, "identifier") + " meanwhile from " + text_in(one, "line"));
  }
  if (const std::string names = texts_in(certificate, "certificate_identifiers"); !names.empty()) {
    lines.note("the certificate is for " + names);
  }
  if (const std::string busy = text_in(certificate, "now"); !busy.empty()) {
    lines.note("now: " + busy);
  }
  const Json& problem = member_in(certificate, "problem");
  if (problem.is_object()) {
    lines.note("problem (" + text_in(problem, "kind") + ", " + relative_in(problem, "since", now) +
               "): " + text_in(problem, "message"));
    lines.note("what you can do: " + text_in(problem, "remedy"));
  }
  for (const Json& left : member_in(certificate, "set_aside")) {
    lines.note("issuer " + text_in(left, "issuer") + " is set aside until " + text_in(left, "until") + " (" +
               text_in(left, "key") + "): " + text_in(left, "message"));
  }
}

// "served", or "was served" where no agent answers for it now; what has ended has ended.
std::string shown_state(const Json& certificate) {
  const std::string known = text_in(member_in(certificate, "last_known"), "state");
  const std::string state = text_in(certificate, "state");
  return known.empty() || state == "expired" ? state : "was " + known;
}

struct Row {
  std::string name;
  std::string state;
  Colour colour = Colour::plain;
  std::string ends;
  std::string served;
  std::string next;
  std::string why;
};

Row row_of(const Json& certificate, Now now) {
  const bool gone = member_in(certificate, "last_known").is_object();
  const Json& served = member_in(gone ? member_in(certificate, "last_known") : certificate, "served");
  const Json& next = member_in(certificate, "next");
  const std::string state = text_in(certificate, "state");
  const std::string ends = relative_in(certificate, "not_after", now);
  return {text_in(certificate, "name"),
          shown_state(certificate),
          gone && state != "expired" ? Colour::plain : colour_of(state),
          ends.empty() ? "-" : ends,
          served.is_object() ? (gone ? "was " : "") + std::to_string(number_in(served, "generation")) : "-",
          next.is_object() ? relative_to_come(next, "at", gone, now) : "-",
          next.is_object() ? text_in(next, "why") : ""};
}

std::string padded(const std::string& text, std::size_t width) {
  return text + std::string(width - std::min(width_of(text), width) + 2, ' ');
}

// Of what is too wide first the reason for the next step is cut, then the name.
void print_table(const std::vector<const Json*>& certificates, Surroundings& surroundings, Now now) {
  Row titles{"NAME", "STATE", Colour::plain, "ENDS", "SERVED", "NEXT", ""};
  std::vector<Row> rows;
  Row widest = titles;
  const auto keep = [](std::string& most, const std::string& text) {
    if (width_of(text) > width_of(most)) most = text;
  };
  for (const Json* certificate : certificates) {
    const Row& row = rows.emplace_back(row_of(*certificate, now));
    keep(widest.name, row.name);
    keep(widest.state, row.state);
    keep(widest.ends, row.ends);
    keep(widest.served, row.served);
    keep(widest.next, row.next);
  }
  constexpr std::size_t shortest_name = 10;
  constexpr std::size_t shortest_why = 12;
  const std::size_t others =
      width_of(widest.state) + width_of(widest.ends) + width_of(widest.served) + width_of(widest.next) + std::size_t{4} * 2;
  const std::size_t columns = surroundings.columns;
  std::size_t name_width = width_of(widest.name);
  if (columns != 0) name_width = std::min(name_width, columns > others + shortest_name ? columns - others : shortest_name);
  const std::size_t used = name_width + others + 2;
  const auto print = [&](const Row& row) {
    std::string why = row.why;
    if (columns != 0) why = columns >= used + shortest_why ? shortened(why, columns - used) : "";
    const std::string blanks(width_of(widest.state) - width_of(row.state) + 2, ' ');
    surroundings.out << padded(shortened(row.name, name_width), name_width)
                     << coloured(row.state, row.colour, surroundings.colours) << blanks
                     << padded(row.ends, width_of(widest.ends)) << padded(row.served, width_of(widest.served))
                     << (why.empty() ? row.next : padded(row.next, width_of(widest.next)) + why) << "\n";
  };
  print(titles);
  const Lines lines(surroundings);
  for (std::size_t index = 0; index < rows.size(); ++index) {
    print(rows[index]);
    print_notes(*certificates[index], lines, now);
  }
}

std::string line_of(const Json& stored, Now now) {
  const std::string ends = relative_in(stored, "not_after", now);
  const std::string names = texts_in(stored, "identifiers");
  return text_in(stored, "name") + (ends.empty() ? "" : "  ends " + ends) + (names.empty() ? "" : ", for " + names);
}

// Stored certificates that no configuration names.
void print_unnamed(const Json& status, Surroundings& surroundings, Now now) {
  const Json& lines = member_in(status, "unnamed");
  if (!lines.is_array() || lines.empty()) {
    return;
  }
  surroundings.out << "\nstored, named by no configuration:\n";
  for (const Json& line : lines) {
    surroundings.out << wrapped(line_of(line, now), surroundings.columns, 0, 4) << "\n";
  }
}

// What is awaited of CAs, and accounts there that people should see to; of one certificate what concerns it.
void print_accounts(const Json& status, const Json* certificate, Surroundings& surroundings) {
  const std::string name = certificate == nullptr ? "" : text_in(*certificate, "name");
  const std::string issuer = certificate == nullptr ? "" : text_in(*certificate, "issuer");
  for (const Json& one : member_in(status, "awaited")) {
    if (certificate != nullptr && text_in(one, "certificate") != name) continue;
    const std::string sentence = awaited_sentence(text_in(one, "issuer"), text_in(one, "what"), text_in(one, "certificate"),
                                                  text_in(one, "order"), text_in(one, "since"));
    surroundings.out << wrapped(sentence, surroundings.columns, 0, 4) << "\n";
  }
  for (const Json& one : member_in(status, "accounts")) {
    const Json& low = member_in(one, "low");
    if (!low.is_boolean() || !low.get<bool>() || (certificate != nullptr && text_in(one, "issuer") != issuer)) continue;
    const std::string sentence =
        low_balance_sentence(text_in(one, "issuer"), text_in(one, "balance"), text_in(one, "currency"), text_in(one, "seen"));
    surroundings.out << coloured(wrapped(sentence, surroundings.columns, 0, 4), Colour::bad, surroundings.colours) << "\n";
  }
}

}  // namespace

int print_status(const Request& request, Surroundings& surroundings) {
  Result<StatusOnDisk> status = read_status(request);
  if (!status) {
    return fail(status.error(), request, surroundings);
  }
  const Now now = std::chrono::system_clock::now();
  const AgentWord word = word_of_agent(*status, now);
  Json part;
  if (!request.name.empty() && status->json.is_object()) {
    const Json* certificate = certificate_in(status->json, "certificates", request.name);
    const Json* stored = certificate == nullptr ? certificate_in(status->json, "unnamed", request.name) : nullptr;
    if (certificate == nullptr && stored == nullptr) {
      return refuse(request, surroundings, exit_failed, no_such_certificate(*status, request.name));
    }
    Json one = certificate == nullptr ? Json::array() : Json::array({*certificate});
    Json unnamed = stored == nullptr ? Json::array() : Json::array({*stored});
    part = status->json;
    part["certificates"] = std::move(one);
    part["unnamed"] = std::move(unnamed);
  }
  const Json& shown = part.is_null() ? status->json : part;
  if (request.json) {
    const std::string text = request.name.empty() ? status->text : dump_json(shown);
    surroundings.out << printable_json(text) << (text.ends_with('\n') ? "" : "\n");
    return word.exit;
  }
  std::vector<const Json*> certificates;
  for (const Json& certificate : member_in(shown, "certificates")) {
    certificates.push_back(&certificate);
  }
  surroundings.err << wrapped(word.sentence, surroundings.columns) << "\n";
  if (!certificates.empty()) {
    print_table(certificates, surroundings, now);
  } else if (!status->was_never_written() && request.name.empty()) {
    surroundings.err << "there is no certificate yet\n";
  }
  print_accounts(shown, request.name.empty() || certificates.empty() ? nullptr : certificates.front(), surroundings);
  print_unnamed(shown, surroundings, now);
  return word.exit;
}

int print_list(const Request& request, Surroundings& surroundings) {
  Result<StatusOnDisk> status = read_status(request);
  if (!status) {
    return fail(status.error(), request, surroundings);
  }
  const std::vector<std::string> names = names_in(status->json, "certificates");
  const std::vector<std::string> unnamed = names_in(status->json, "unnamed");
  // What is stored can be listed without an agent; whether one runs costs a look at every process.
  const AgentWord word = status->was_never_written() ? word_of_agent(*status, std::chrono::system_clock::now()) : AgentWord{};
  if (request.json) {
    surroundings.out << printable_json(dump_json(Json{{"format", 1}, {"certificates", names}, {"unnamed", unnamed}})) << "\n";
    return word.exit;
  }
  for (const auto* const list : {&names, &unnamed}) {
    for (const std::string& name : *list) surroundings.out << printable(name) << "\n";
  }
  if (status->was_never_written()) {
    surroundings.err << wrapped(word.sentence, surroundings.columns) << "\n";
  }
  if (!unnamed.empty()) {
    std::string all;
    for (const std::string& name : unnamed) all += (all.empty() ? "" : ", ") + name;
    surroundings.err << wrapped(printable("stored, named by no configuration: " + all), surroundings.columns) << "\n";
  }
  return word.exit;
}

namespace {

// "2027-02-18T10:00:00Z (in 79 d)"
std::string moment_in(const Json& object, const char* member, Now now) {
  const auto time = time_in(raw_text_in(object, member));
  return text_in(object, member) + (time ? " (" + relative_time(*time, now) + ")" : "");
}

void print_in_full(const Json& certificate, bool named, Surroundings& surroundings, Now now) {
  const Lines lines(surroundings);
  const std::string state = named ? shown_state(certificate) : "named by no configuration";
  const Json& last_known = member_in(certificate, "last_known");
  surroundings.out << text_in(certificate, "name") << "  "
                   << coloured(state,
                               named && (!last_known.is_object() || state == "expired") ? colour_of(state) : Colour::plain,
                               surroundings.colours)
                   << "\n";
  lines.fact("for", texts_in(certificate, "identifiers"));
  lines.fact("issuer", text_in(certificate, "issuer"));
  lines.fact("ends", moment_in(certificate, "not_after", now));
  const Json& served = member_in(last_known.is_object() ? last_known : certificate, "served");
  if (served.is_object()) {
    lines.fact(last_known.is_object() ? "was served" : "served",
               "generation " + std::to_string(number_in(served, "generation")) + " since " + moment_in(served, "since", now) +
                   (text_in(served, "listener").empty() ? "" : ", seen at " + text_in(served, "listener")));
  } else if (number_in(certificate, "generation") != 0) {
    lines.fact("stored", "generation " + std::to_string(number_in(certificate, "generation")));
  }
  const Json& next = member_in(certificate, "next");
  if (next.is_object()) {
    lines.fact("next", text_in(next, "at") + " (" + relative_to_come(next, "at", last_known.is_object(), now) +
                           "): " + text_in(next, "why"));
  }
  print_notes(certificate, lines, now);
}

}  // namespace

int print_certificate(const Request& request, Surroundings& surroundings) {
  Result<StatusOnDisk> status = read_status(request);
  if (!status) {
    return fail(status.error(), request, surroundings);
  }
  const Now now = std::chrono::system_clock::now();
  const bool written = !status->was_never_written();
  const AgentWord word = word_of_agent(*status, now);
  const int exit = written ? word.exit : exit_done;
  const Json* certificate = certificate_in(status->json, "certificates", request.name);
  const bool named = certificate != nullptr;
  if (!named) certificate = certificate_in(status->json, "unnamed", request.name);
  if (certificate == nullptr) {
    return refuse(request, surroundings, exit_failed, no_such_certificate(*status, request.name));
  }
  const std::string name = raw_text_in(*certificate, "name");
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
    Json object{{"format", 1}, {"certificate", *certificate}, {"pairs", *pairs}, {"events", *events}};
    if (written) object["agent"] = member_in(status->json, "agent");
    if (!named) object["unnamed"] = true;
    surroundings.out << printable_json(dump_json(object)) << "\n";
    return exit;
  }
  surroundings.err << wrapped(word.sentence, surroundings.columns) << "\n";
  print_in_full(*certificate, named, surroundings, now);
  print_accounts(status->json, certificate, surroundings);
  const Lines lines(surroundings);
  for (const Json& pair : *pairs) {
    surroundings.out << "\n" << text_in(pair, "key") << "\n";
    lines.fact("serial", text_in(pair, "serial"));
    lines.fact("valid", text_in(pair, "not_before") + " to " + moment_in(pair, "not_after", now));
    const std::uint64_t chain = number_in(pair, "chain");
    lines.fact("chain", std::to_string(chain) + (chain == 1 ? " certificate" : " certificates"));
    lines.fact("SHA-256", text_in(pair, "sha256"));
    lines.fact("for", texts_in(pair, "identifiers"));
  }
  surroundings.out << (events->empty() ? "" : "\n");
  for (const Json& event : *events) {
    surroundings.out << wrapped(text_in(event, "at") + "  " + text_in(event, "name") + "  " + text_in(event, "sentence"),
                                surroundings.columns, 0, 6)
                     << "\n";
  }
  return exit;
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

}  // namespace evercert
