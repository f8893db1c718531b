#include "evercert/leader_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "evercert/descriptor.h"
#include "evercert/state.h"
#include "serving/base/encoding.h"
#include "serving/base/limits.h"
#include "serving/platform/files.h"
#include "serving/store/gcm.h"

namespace evercert {
namespace {

constexpr const char* leader_file_name = "leader";
constexpr std::size_t leader_entry_size = 64;
constexpr std::size_t leader_slot_size = 32;
constexpr std::size_t leader_name_size = 16;
constexpr std::size_t leader_checked_size = leader_name_size + sizeof(std::uint64_t);
constexpr std::size_t most_leader_entries = largest_leader_file / leader_entry_size - 1;
constexpr std::size_t entries_at_once = 1024;
constexpr std::string_view leader_words = "evercert leader 1\n";

std::string leader_short_name(const std::string& name) {
  const Bytes digest = sha256(bytes_of(name));
  return {digest.begin(), digest.begin() + leader_name_size};
}

Bytes leader_check_of(BytesView checked) {
  Bytes digest = sha256(checked);
  digest.resize(leader_slot_size - leader_checked_size);
  return digest;
}

Bytes leader_slot_of(const std::string& short_name, std::uint64_t number) {
  Bytes slot(short_name.begin(), short_name.end());
  append_big_endian(slot, number, sizeof number);
  const Bytes check = leader_check_of(slot);
  slot.insert(slot.end(), check.begin(), check.end());
  return slot;
}

struct LeaderEntry {
  std::string short_name;  // empty: neither slot is whole
  std::uint64_t number = 0;
  std::size_t other = 0;  // the slot to be written next
};

LeaderEntry leader_entry_in(BytesView bytes) {
  LeaderEntry entry;
  for (std::size_t slot = 0; slot < 2; ++slot) {
    const BytesView part = bytes.subspan(slot * leader_slot_size, leader_slot_size);
    if (!std::ranges::equal(leader_check_of(part.first(leader_checked_size)), part.subspan(leader_checked_size))) continue;
    const std::uint64_t number = big_endian(part.subspan(leader_name_size, sizeof(std::uint64_t)));
    if (number < entry.number) continue;
    entry.short_name.assign(part.begin(), part.begin() + leader_name_size);
    entry.number = number;
    entry.other = 1 - slot;
  }
  return entry;
}

off_t leader_offset_of(std::size_t entry) {
  return static_cast<off_t>((entry + 1) * leader_entry_size);
}

bool write_leader_at(int file, BytesView bytes, off_t offset) {
  ssize_t written = 0;
  do {
    written = pwrite(file, bytes.data(), bytes.size(), offset);
  } while (written < 0 && errno == EINTR);
  if (written >= 0 && static_cast<std::size_t>(written) != bytes.size()) errno = ENOSPC;
  return written == static_cast<ssize_t>(bytes.size());
}

Error reached_not_kept(const std::string& name, int code) {
  return system_error(ErrorKind::storage, "how far \"" + name + "\" has come cannot be kept", code);
}

Result<std::optional<Descriptor>> open_leader(const std::string& state_path, int flags) {
  if (auto safe = check_state_path(state_path); !safe) return safe.error();
  const std::string path = state_path + "/" + leader_file_name;
  const Descriptor directory(open(state_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() && errno == ENOENT) return std::optional<Descriptor>();
  Descriptor file(
      directory.valid() ? openat(directory.get(), leader_file_name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600) : -1);
  if (!file.valid() && errno == ENOENT) return std::optional<Descriptor>();
  const Error refused{ErrorKind::storage,
                      "\"" + path +
                          "\" is refused: it must be a regular file of the user that starts the server, closed to "
                          "others (0600); remove it, and it is made anew"};
  // A link, a directory, a socket.
  if (!file.valid() && (errno == ELOOP || errno == EISDIR || errno == ENXIO)) return refused;
  struct stat facts {};
  if (!file.valid() || fstat(file.get(), &facts) != 0)
    return system_error(ErrorKind::storage, "\"" + path + "\" cannot be opened", errno);
  if (!S_ISREG(facts.st_mode) || facts.st_uid != geteuid()) return refused;
  // As with seal.key, what a volume gave its group is taken back.
  const bool closed = (facts.st_mode & 077) == 0 || ((facts.st_mode & 07) == 0 && fchmod(file.get(), 0600) == 0);
  if (!closed) return refused;
  return std::optional<Descriptor>(std::move(file));
}

}  // namespace

Result<Descriptor> open_leader_file(const std::string& state_path) {
  auto opened = open_leader(state_path, O_RDWR | O_CREAT);
  if (!opened) return opened.error();
  if (!*opened)
    return Error{ErrorKind::storage, "\"" + state_path + "/" + leader_file_name + "\" cannot be made: the directory is gone"};
  return std::move(**opened);
}

Result<std::optional<Descriptor>> existing_leader_file(const std::string& state_path) {
  return open_leader(state_path, O_RDWR);
}

Result<Done> examine_leader_file(const std::string& state_path) {
  const auto opened = open_leader(state_path, O_RDONLY);
  return opened ? Result<Done>(Done{}) : Result<Done>(opened.error());
}

void ReachedNumbers::read_new() {
  struct stat facts {};
  if (fstat(file_, &facts) != 0) return;
  if (!readable_) {
    std::array<char, leader_words.size()> begin{};
    readable_ = pread(file_, begin.data(), begin.size(), 0) == static_cast<ssize_t>(begin.size()) &&
                std::string_view(begin.data(), begin.size()) == leader_words;
    if (!readable_) return;
  }
  const std::size_t whole = static_cast<std::size_t>(facts.st_size) / leader_entry_size;
  const std::size_t count = std::min(whole == 0 ? 0 : whole - 1, most_leader_entries);
  Bytes portion;
  while (known_ < count) {
    portion.resize(std::min(count - known_, entries_at_once) * leader_entry_size);
    const ssize_t size = pread(file_, portion.data(), portion.size(), leader_offset_of(known_));
    if (size < static_cast<ssize_t>(leader_entry_size)) return;
    for (std::size_t at = 0; at + leader_entry_size <= static_cast<std::size_t>(size); at += leader_entry_size, ++known_) {
      const LeaderEntry entry = leader_entry_in(BytesView(portion).subspan(at, leader_entry_size));
      if (!entry.short_name.empty()) entries_.emplace(entry.short_name, known_);
    }
  }
}

std::uint64_t ReachedNumbers::read(std::size_t entry, const std::string& short_name) const {
  std::array<std::uint8_t, leader_entry_size> bytes{};
  if (pread(file_, bytes.data(), bytes.size(), leader_offset_of(entry)) != static_cast<ssize_t>(bytes.size())) return 0;
  const LeaderEntry found = leader_entry_in(bytes);
  return found.short_name == short_name ? found.number : 0;
}

std::uint64_t ReachedNumbers::of(const std::string& name) {
  const std::string short_name = leader_short_name(name);
  const std::lock_guard guard(mutex_);
  read_new();
  const auto found = entries_.find(short_name);
  return found == entries_.end() ? 0 : read(found->second, short_name);
}

// False: it is there already.
Result<bool> ReachedNumbers::write(const std::string& name, std::uint64_t number) {
  const auto failed = [&name](int code) { return reached_not_kept(name, code); };
  const std::string short_name = leader_short_name(name);
  const std::lock_guard guard(mutex_);
  read_new();
  if (!readable_) {
    struct stat facts {};
    if (fstat(file_, &facts) != 0) return failed(errno);
    // A start that was cut off may have left a part of the leader_words.
    if (facts.st_size > static_cast<off_t>(leader_entry_size))
      return Error{ErrorKind::storage,
                   "the file \"leader\" in the state_path was not written by this release; move it away and "
                   "start the server anew, and it is made again"};
    Bytes head(leader_words.begin(), leader_words.end());
    head.resize(leader_entry_size);
    if (!write_leader_at(file_, head, 0)) return failed(errno);
    readable_ = true;
  }
  const Bytes slot = leader_slot_of(short_name, number);
  const auto found = entries_.find(short_name);
  std::array<std::uint8_t, leader_entry_size> bytes{};
  if (found == entries_.end()) {
    if (known_ >= most_leader_entries) return failed(EFBIG);
    std::ranges::copy(slot, bytes.begin());
    if (!write_leader_at(file_, bytes, leader_offset_of(known_))) return failed(errno);
    entries_.emplace(short_name, known_++);
  } else {
    if (pread(file_, bytes.data(), bytes.size(), leader_offset_of(found->second)) != static_cast<ssize_t>(bytes.size()))
      return failed(errno);
    const LeaderEntry present = leader_entry_in(bytes);
    if (present.short_name == short_name && present.number >= number) return false;
    if (!write_leader_at(file_, slot, leader_offset_of(found->second) + static_cast<off_t>(present.other * leader_slot_size)))
      return failed(errno);
  }
  return true;
}

Result<Done> ReachedNumbers::raise(const std::string& name, std::uint64_t number, bool durable) {
  const auto written = write(name, number);
  if (!written) return written.error();
  if (*written && durable && fdatasync(file_) != 0) return reached_not_kept(name, errno);
  return Done{};
}

std::string older_generation_sentence(const std::string& certificate, std::uint64_t present, std::uint64_t reached) {
  if (present == 0)
    return "no generation of " + certificate + " is left on the disk, although generation " + std::to_string(reached) +
           " was published: its files were removed or lost; find out by whom; `evercert import` or a backup of "
           "state/certificates/ brings it back, else another one is ordered (where that costs money, once somebody asks for "
           "it)";
  return "generation " + std::to_string(present) + " of " + certificate + " is served, although generation " +
         std::to_string(reached) +
         " was published: newer files were lost, or older ones put back; find out by whom, then `evercert renew " +
         certificate + " --force` orders anew, or `evercert rollback " + certificate + " --to " + std::to_string(present) +
         "` accepts what is there";
}

}  // namespace evercert
