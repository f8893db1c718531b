#include "agent/observe/audit_trail.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "agent/observe/event_json.h"
#include "agent/observe/status_report.h"
#include "evercert/descriptor.h"
#include "serving/base/json.h"
#include "serving/platform/files.h"

namespace evercert {

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
  Descriptor file(
      ::openat(directory_.get(), name.c_str(), O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0640));
  if (!file.valid()) {
    return system_error(ErrorKind::storage, "cannot open events/" + name, errno);
  }
  // A pipe that somebody left here would take some lines and then hold up whoever writes them.
  if (::fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    return Error{ErrorKind::storage, "cannot open events/" + name + ": it is not a regular file"};
  }
  torn_ = false;
  if (facts.st_size > 0) {
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

}  // namespace evercert
