#include "agent/store/event_tail.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "evercert/descriptor.h"
#include "evercert/state.h"
#include "serving/base/json.h"
#include "serving/certificate/bundle.h"
#include "serving/platform/directory.h"

namespace evercert {
namespace {

constexpr std::size_t chunk_size = std::size_t{64} << 10;

bool is_event_file(std::string_view name) {
  return name.ends_with(".jsonl") && !name.starts_with('.');
}

}  // namespace

std::string key_of_event(std::string_view line) {
  const auto event = parse_json(line, "an event");
  if (!event || !event->is_object()) return {};
  const auto certificate = json_text(*event, "certificate", "an event");
  if (!certificate || certificate->empty()) return {};
  const auto generation = event->find("generation");
  if (generation != event->end() && generation->is_number_unsigned()) {
    return bundle_path(*certificate, generation->get<std::uint64_t>());
  }
  return "certificates/" + file_name_of(*certificate) + "/";
}

void EventTail::skip_present(int events) {
  const auto entries = entries_of(Descriptor(openat(events, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  if (!entries) return;
  for (const DirectoryEntry& entry : *entries) {
    struct stat status {};
    if (entry.kind != DirectoryEntry::Kind::file || !is_event_file(entry.name)) continue;
    if (fstatat(events, entry.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    progress_[entry.name] = {status.st_ino, status.st_size};
  }
}

void EventTail::read_new(int events, const std::string& name, const Told& told) {
  if (!is_event_file(name)) return;
  const Descriptor file(openat(events, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!file.valid() || fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    progress_.erase(name);
    return;
  }
  Progress& progress = progress_[name];
  if (progress.inode != status.st_ino || status.st_size < progress.read) progress = {status.st_ino, 0};
  std::string chunk(chunk_size, '\0');
  while (true) {
    const ssize_t got = pread(file.get(), chunk.data(), chunk.size(), progress.read);
    if (got <= 0) return;
    const std::string_view text(chunk.data(), static_cast<std::size_t>(got));
    std::size_t begin = 0;
    for (std::size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n', begin)) {
      const std::string key = key_of_event(text.substr(begin, end - begin));
      begin = end + 1;
      if (!key.empty()) told(key);
    }
    // A line longer than any event of ours is passed over.
    if (begin == 0 && text.size() == chunk.size()) begin = text.size();
    if (begin == 0) return;
    progress.read += static_cast<off_t>(begin);
  }
}

}  // namespace evercert
