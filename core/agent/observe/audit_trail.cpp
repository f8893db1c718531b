#include "agent/observe/audit_trail.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agent/observe/event_json.h"
#include "agent/observe/status_report.h"
#include "serving/base/files.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

constexpr std::size_t months_looked_at = 13;
constexpr off_t bytes_looked_at = off_t{16} << 20;

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

Result<AuditTrail> AuditTrail::open(const std::string& state_path, Logger& log) {
  const std::string state = state_path + "/state";
  const Descriptor parent(::open(state.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!parent.valid()) {
    return system_error(ErrorKind::storage, "cannot open " + state, errno);
  }
  if (::mkdirat(parent.get(), "events", 0750) != 0 && errno != EEXIST) {
    return system_error(ErrorKind::storage, "cannot make " + state + "/events", errno);
  }
  Descriptor directory(::openat(parent.get(), "events", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory.valid()) {
    return system_error(ErrorKind::storage, "cannot open " + state + "/events", errno);
  }
  return AuditTrail(std::move(directory), log);
}

Result<Done> AuditTrail::open_month(const std::string& month) {
  struct stat facts {};
  // A file that somebody removed or rotated away is begun anew.
  if (file_.valid() && month == month_ && ::fstat(file_.get(), &facts) == 0 && facts.st_nlink > 0) {
    return Done{};
  }
  const std::string name = month + ".jsonl";
  // Readable too: whether the last line is whole has to be seen.
  Descriptor file(::openat(directory_.get(), name.c_str(), O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640));
  if (!file.valid()) {
    return system_error(ErrorKind::storage, "cannot open events/" + name, errno);
  }
  torn_ = false;
  if (::fstat(file.get(), &facts) == 0 && facts.st_size > 0) {
    char last = '\n';
    torn_ = ::pread(file.get(), &last, 1, facts.st_size - 1) == 1 && last != '\n';
  }
  file_ = std::move(file);
  month_ = month;
  return Done{};
}

Result<Done> AuditTrail::append(const std::string& month, const std::string& line) {
  if (Result<Done> opened = open_month(month); !opened) {
    return opened;
  }
  const std::string text = (torn_ ? "\n" : "") + line + "\n";
  ssize_t written = 0;
  do {
    written = ::write(file_.get(), text.data(), text.size());
  } while (written < 0 && errno == EINTR);
  if (written < 0) {
    return system_error(ErrorKind::storage, "cannot append to events/" + month + ".jsonl", errno);
  }
  if (static_cast<std::size_t>(written) < text.size()) {
    torn_ = torn_ || written > 0;
    return system_error(ErrorKind::storage, "cannot append to events/" + month + ".jsonl", ENOSPC);
  }
  torn_ = false;
  return Done{};
}

void AuditTrail::record(const Event& event) {
  Json object = event_json(event);
  object["format"] = 1;
  const Result<Done> appended = append(to_rfc3339(event.at).substr(0, 7), dump_json(object));
  if (!appended) {
    if (dropped_++ == 0) {
      log_->write(LogLevel::warn, appended.error().message +
                                      "; events are missing from the audit trail until this is "
                                      "repaired, orders and renewals go on");
    }
    return;
  }
  if (dropped_ > 0) {
    log_->write(LogLevel::notice,
                "the audit trail is written again, " + std::to_string(dropped_) + " events are missing from it");
    dropped_ = 0;
  }
}

Result<std::vector<Json>> recent_events(const StateReader& state, const std::string& certificate, std::size_t count) {
  Result<std::vector<std::string>> names = state.list("events");
  if (!names) {
    return names.error();
  }
  std::erase_if(*names, [](const std::string& name) { return name.size() != 13 || !name.ends_with(".jsonl"); });
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
