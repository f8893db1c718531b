// The reading side of the audit trail.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agent/observe/audit_trail.h"
#include "agent/observe/status_report.h"
#include "evercert/descriptor.h"
#include "serving/base/json.h"
#include "serving/base/limits.h"

namespace evercert {
namespace {

constexpr std::size_t months_looked_at = 13;
constexpr off_t bytes_looked_at{largest_trail_end};

std::string read_tail(int file) {
  struct stat facts {};
  if (::fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode)) {
    return {};
  }
  off_t from = std::max<off_t>(0, facts.st_size - bytes_looked_at);
  std::string text(static_cast<std::size_t>(facts.st_size - from), '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = ::pread(file, text.data() + filled, text.size() - filled, from + static_cast<off_t>(filled));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      break;
    }
    filled += static_cast<std::size_t>(got);
  }
  text.resize(filled);
  return text;
}

// Takes matching lines from the end of `text` until `events` (newest first) holds `count`.
void collect_backwards(std::string_view text, const std::string& certificate, std::size_t count, std::vector<Json>& events) {
  const std::string quoted = dump_json(certificate);
  while (!text.empty() && events.size() < count) {
    const std::size_t newline = text.find_last_of('\n');
    const std::string_view line = newline == std::string_view::npos ? text : text.substr(newline + 1);
    text = newline == std::string_view::npos ? std::string_view{} : text.substr(0, newline);
    // Parsing is the dear part; a line that does not even contain the name cannot match.
    if (line.empty() || (!certificate.empty() && line.find(quoted) == std::string_view::npos)) {
      continue;
    }
    Result<Json> event = parse_json(line, "a line of the audit trail");
    if (!event || !event->is_object()) {
      continue;
    }
    if (certificate.empty() || event->value("certificate", Json()) == certificate) {
      events.push_back(std::move(*event));
    }
  }
}

}  // namespace

Result<std::vector<Json>> recent_events(const StateReader& state, const std::string& certificate, std::size_t count) {
  Result<std::vector<std::string>> names = state.list("events");
  if (!names) {
    return names.error();
  }
  // Files of months to come would take the place of the real ones.
  const std::string present = to_rfc3339(std::chrono::system_clock::now()).substr(0, 7);
  std::erase_if(*names, [&](const std::string& name) {
    return name.size() != 13 || !name.ends_with(".jsonl") || std::string_view(name).substr(0, 7) > present;
  });
  std::sort(names->rbegin(), names->rend());
  names->resize(std::min(names->size(), months_looked_at));

  std::vector<Json> events;
  const Descriptor directory(::openat(state.descriptor(), "events", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  for (const std::string& name : *names) {
    // Not blocking: a pipe that somebody put there must not hold up root.
    const Descriptor file(::openat(directory.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (file.valid()) {
      collect_backwards(read_tail(file.get()), certificate, count, events);
    }
    if (events.size() >= count) {
      break;
    }
  }
  std::reverse(events.begin(), events.end());
  return events;
}

}  // namespace evercert
