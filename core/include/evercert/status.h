// Status as any process may show it: the agent renders the pages into the state directory, everybody else only sends them.
// Whoever serves reads no page into memory: a page is a few bytes of ours and a stretch of a file, which the server sends in
// its own way.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "evercert/descriptor.h"
#include "evercert/result.h"
#include "evercert/state.h"

namespace evercert {

enum class StatusForm { html, json, metrics, text };
// "" or "/" → html, "/json" → json, "/metrics" → metrics, "/text" → text, else nullopt. `rest`: the path below the status
// location.
std::optional<StatusForm> status_form(std::string_view rest);
std::string_view content_type(StatusForm form);

// With every page. Its file is the agent's, whose user may also be that of somebody's scripts: whatever stands there, a browser
// runs nothing of it, loads nothing for it, follows nothing by itself, and takes it for nothing else (CSP level 3, Fetch).
struct StatusHeader {
  std::string_view name;
  std::string_view value;
};
inline constexpr std::array status_headers{
    StatusHeader{"Cache-Control", "no-store"},
    StatusHeader{"X-Content-Type-Options", "nosniff"},
    StatusHeader{"Content-Security-Policy",
                 "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
                 "sandbox"},
};

// `before`, then `length` bytes of `file` from byte `from` on; a length of 0 needs no file. The file is the agent's, regular
// and of a bounded size, but may be cut off while it is sent: send it with reads, never from a mapping of its memory.
struct StatusPage {
  std::string before;
  Descriptor file;
  std::uint64_t from = 0;
  std::uint64_t length = 0;
  [[nodiscard]] std::uint64_t size() const { return before.size() + length; }
};

// The page as last rendered. When it is older than two minutes the agent is not running, and the page says so: HTML gets a
// line on top (text likewise), JSON agent.state "silent", metrics evercert_agent_up 0. Before the first rendering: a page that
// says so. Errors (storage): not a regular file, not of the user who owns the directory, larger than any status, damaged.
Result<StatusPage> status_page(const StateReader& state, StatusForm form, std::chrono::system_clock::time_point now);

// The same in a few words, for a server's own status page, which has no such headers: the agent's state on the first line, then
// a row of cells between tabulators for each certificate, or lines "EvercertWord: value". To be sent through SectionText.
enum class SectionForm { html, lines };
Result<StatusPage> status_section(const StateReader& state, SectionForm form, std::chrono::system_clock::time_point now);

// What becomes of the bytes of a section, which come in portions: a heading and a table whose cells are text, or lines of plain
// letters, whatever the file holds.
class SectionText {
 public:
  explicit SectionText(SectionForm form) : form_(form) {}
  std::string part(std::string_view bytes);
  std::string end();

 private:
  SectionForm form_;
  enum class At { start, heading, table, row } at_ = At::start;
};

// The next bytes of a page, at most `most`; empty at its end. `sent`: how many were read before. Errors: the file was cut off.
Result<std::string> read_page(const StatusPage& page, std::uint64_t sent, std::size_t most);

}  // namespace evercert
