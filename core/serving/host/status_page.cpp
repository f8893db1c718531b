#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>

#include "evercert/descriptor.h"
#include "evercert/status.h"
#include "serving/base/json.h"
#include "serving/platform/files.h"

namespace evercert {

namespace {

using Time = std::chrono::system_clock::time_point;

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

struct Rendered {
  StatusPage page;
  Time at;  // the file's own time, which is the same for all forms and needs no parsing
  bool silent = false;
};

// nullopt: nothing was rendered yet.
Result<std::optional<Rendered>> open_page(const StateReader& state, const std::string& name, Time now) {
  // Not blocking: somebody may have left a pipe under this name.
  Descriptor file(open_beneath(state.descriptor(), name, O_RDONLY | O_NONBLOCK));
  if (!file.valid() && errno == ENOENT) return std::optional<Rendered>();
  struct stat facts {};
  struct stat directory {};
  if (!file.valid() || ::fstat(file.get(), &facts) != 0 || ::fstat(state.descriptor(), &directory) != 0)
    return system_error(ErrorKind::storage, "cannot read " + name, errno);
  const auto refused = [&](const std::string& why) { return Error{ErrorKind::storage, name + " is not sent: " + why}; };
  if (!S_ISREG(facts.st_mode)) return refused("it is not a regular file");
  if (facts.st_uid != directory.st_uid) return refused("it does not belong to the owner of the state directory");
  const auto size = static_cast<std::uint64_t>(facts.st_size);
  if (size > largest_status) return refused("it is larger than any status");
  const auto since = std::chrono::seconds(facts.st_mtim.tv_sec) + std::chrono::nanoseconds(facts.st_mtim.tv_nsec);
  const Time at(std::chrono::duration_cast<Time::duration>(since));
  return std::optional<Rendered>({{"", std::move(file), 0, size}, at, now - at > silent_after});
}

// Its first bytes, where all stands that changes when the agent is silent.
Result<std::string> head_of(const StatusPage& page) {
  std::string head;
  while (head.size() < std::min<std::uint64_t>(largest_status_head, page.length)) {
    auto more = read_page(page, head.size(), largest_status_head - head.size());
    if (!more) return more.error();
    head += *more;
  }
  return head;
}

// The page with `text` in the place of its first `count` bytes.
void put_first(StatusPage& page, std::string text, std::size_t count) {
  page.before = std::move(text);
  page.from += count;
  page.length -= count;
}

std::string silence(Time at) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(at);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  static_cast<void>(std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts));
  return std::string("The agent is not running: this page is of ") + text +
         ". Certificates go on being served, but none is renewed. See the server's error log.";
}

void silence_html(StatusPage& page, const std::string& head, const std::string& sentence) {
  std::size_t at = head.find("<body");
  if (at != std::string::npos) at = head.find('>', at);
  at = at == std::string::npos ? 0 : at + 1;
  put_first(page, head.substr(0, at) + "<p class=\"silent\" role=\"alert\"><strong>" + sentence + "</strong></p>\n", at);
}

// Where the value of a member of the outermost object stands. nullopt: not in this text, or not to its end.
struct Extent {
  std::size_t begin;
  std::size_t end;
};

std::optional<Extent> find_object(std::string_view text, std::string_view member) {
  const std::string name = "\"" + std::string(member) + "\"";
  std::optional<std::size_t> begin;
  unsigned depth = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char letter = text[at];
    if (letter == '"') {
      if (depth == 1 && !begin && text.substr(at).starts_with(name + ":{")) {
        at += name.size();
        begin = at + 1;
        continue;
      }
      for (++at; at < text.size() && text[at] != '"'; ++at)
        if (text[at] == '\\') ++at;
    } else if (letter == '{' || letter == '[') {
      ++depth;
    } else if ((letter == '}' || letter == ']') && --depth <= 1 && begin) {
      return Extent{*begin, at + 1};
    }
  }
  return std::nullopt;
}

Result<Done> silence_json(StatusPage& page, const std::string& head, const std::string& sentence) {
  const auto found = find_object(head, "agent");
  auto agent = found ? parse_json(std::string_view(head).substr(found->begin, found->end - found->begin), "status.json")
                     : Result<Json>(Json());
  if (!agent || !agent->is_object())
    return Error{ErrorKind::storage, "status.json in the state directory is damaged; the agent writes it anew when it runs"};
  (*agent)["state"] = "silent";
  (*agent)["message"] = sentence;
  put_first(page, head.substr(0, found->begin) + dump_json(*agent), found->end);
  return Done{};
}

constexpr std::string_view silent_sample = "evercert_agent_up 0\n";

void silence_metrics(StatusPage& page, const std::string& head) {
  static constexpr std::string_view sample = "evercert_agent_up 1\n";
  const std::size_t at = head.starts_with(sample) ? 0 : head.find("\n" + std::string(sample));
  if (at == std::string::npos) return put_first(page, "# TYPE evercert_agent_up gauge\n" + std::string(silent_sample), 0);
  const std::size_t begin = at + (at == 0 && head.starts_with(sample) ? 0 : 1);
  put_first(page, head.substr(0, begin) + std::string(silent_sample), begin + sample.size());
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
      return "# TYPE evercert_agent_up gauge\n" + std::string(silent_sample);
    case StatusForm::text:
      return std::string(sentence) + "\n";
    case StatusForm::html:
      break;
  }
  return "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>evercert</title></head><body><p>" +
         std::string(sentence) + "</p></body></html>\n";
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

Result<StatusPage> status_page(const StateReader& state, StatusForm form, Time now) {
  auto found = open_page(state, file_of(form), now);
  if (!found) return found.error();
  if (!*found) return StatusPage{first_page(form), {}, 0, 0};
  StatusPage& page = (*found)->page;
  if (!(*found)->silent) return std::move(page);
  const std::string sentence = silence((*found)->at);
  if (form == StatusForm::text) {
    put_first(page, sentence + "\n", 0);
    return std::move(page);
  }
  const auto head = head_of(page);
  if (!head) return head.error();
  if (form == StatusForm::html) silence_html(page, *head, sentence);
  if (form == StatusForm::metrics) silence_metrics(page, *head);
  if (form == StatusForm::json)
    if (auto done = silence_json(page, *head, sentence); !done) return done.error();
  return std::move(page);
}

Result<StatusPage> status_section(const StateReader& state, SectionForm form, Time now) {
  const bool html = form == SectionForm::html;
  auto found = open_page(state, html ? "section.tsv" : "section.txt", now);
  if (!found) return found.error();
  // The line that names the agent is the first.
  const std::string first = html ? "silent\n" : "EvercertAgent: silent\n";
  if (!*found) return StatusPage{html ? first : first + "EvercertCertificates: 0\n", {}, 0, 0};
  StatusPage& page = (*found)->page;
  if (!(*found)->silent) return std::move(page);
  const auto head = head_of(page);
  if (!head) return head.error();
  const std::size_t end = head->find('\n');
  put_first(page, first, end == std::string::npos ? head->size() : end + 1);
  return std::move(page);
}

std::string SectionText::part(std::string_view bytes) {
  std::string text;
  if (form_ == SectionForm::lines) {
    for (const char letter : bytes)
      if (letter == '\n' || (letter >= ' ' && letter <= '~' && letter != '<' && letter != '>')) text += letter;
    return text;
  }
  if (at_ == At::start) text = "<hr />\n<h2>evercert (agent: ";
  if (at_ == At::start) at_ = At::heading;
  for (const char letter : bytes) {
    const bool heads = at_ == At::heading;
    if (letter == '\n') {
      if (heads)
        text +=
            ")</h2>\n<table border=\"0\"><tr><th>Certificate</th><th>State</th><th>Until</th><th>Served generation</th>"
            "<th>Next</th><th>Problem</th></tr>\n";
      if (at_ == At::row) text += "</td></tr>\n";
      at_ = At::table;
      continue;
    }
    if (at_ == At::table) text += "<tr><td>";
    if (at_ == At::table) at_ = At::row;
    if (letter == '\t' && !heads)
      text += "</td><td>";
    else if (letter == '&')
      text += "&amp;";
    else if (letter == '<')
      text += "&lt;";
    else if (letter == '>')
      text += "&gt;";
    else if (letter == '"')
      text += "&quot;";
    else if (letter == '\'')
      text += "&#39;";
    else
      text += letter;
  }
  return text;
}

std::string SectionText::end() {
  if (form_ == SectionForm::lines) return {};
  const std::string begun = at_ == At::start ? part("") : "";
  return begun + (at_ == At::heading ? ")</h2>\n" : at_ == At::row ? "</td></tr>\n</table>\n" : "</table>\n");
}

Result<std::string> read_page(const StatusPage& page, std::uint64_t sent, std::size_t most) {
  if (sent < page.before.size()) return page.before.substr(static_cast<std::size_t>(sent), most);
  const std::uint64_t at = sent - page.before.size();
  std::string bytes(static_cast<std::size_t>(std::min<std::uint64_t>(most, page.length - std::min(page.length, at))), '\0');
  if (bytes.empty()) return bytes;
  ssize_t count = 0;
  do count = ::pread(page.file.get(), bytes.data(), bytes.size(), static_cast<off_t>(page.from + at));
  while (count < 0 && errno == EINTR);
  if (count <= 0) return system_error(ErrorKind::storage, "the status was cut off while it was read", count < 0 ? errno : EIO);
  bytes.resize(static_cast<std::size_t>(count));
  return bytes;
}

}  // namespace evercert
