#include "agent/store/unfinished_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "evercert/descriptor.h"
#include "serving/base/encoding.h"

namespace evercert {
namespace {

constexpr std::size_t spares_per_folder = 32;

}  // namespace

std::optional<std::string> SpareFiles::take(const std::string& folder) {
  const std::lock_guard lock(mutex_);
  auto& names = names_[folder];
  if (names.empty()) return std::nullopt;
  std::string name = std::move(names.back());
  names.pop_back();
  return name;
}

bool SpareFiles::keep(const std::string& folder, const std::string& name) {
  const std::lock_guard lock(mutex_);
  auto& names = names_[folder];
  if (names.size() >= spares_per_folder) return false;
  names.push_back(name);
  return true;
}

UnfinishedFile::UnfinishedFile(int directory, std::string folder, std::string name, SpareFiles& spares)
    : directory_(directory), folder_(std::move(folder)), name_(std::move(name)), spares_(spares) {}

UnfinishedFile::~UnfinishedFile() {
  if (there_) unlinkat(directory_, beside_.c_str(), 0);
}

int UnfinishedFile::open_for_writing() {
  constexpr int flags = O_WRONLY | O_NOFOLLOW | O_CLOEXEC;
  if (auto spare = spares_.take(folder_)) {
    beside_ = std::move(*spare);
    const int file = openat(directory_, beside_.c_str(), flags | O_TRUNC);
    if (file >= 0) return file;  // else somebody swept it away
  }
  beside_ = "." + name_ + "." + to_hex(random_bytes(3));
  return openat(directory_, beside_.c_str(), flags | O_CREAT | O_EXCL, 0600);
}

int UnfinishedFile::write(BytesView content, unsigned mode, const std::optional<std::uint32_t>& group, bool durable) {
  Descriptor file(open_for_writing());
  if (!file.valid()) return errno;
  there_ = true;
  if (group && fchown(file.get(), static_cast<uid_t>(-1), *group) != 0) return errno;
  if (fchmod(file.get(), mode) != 0) return errno;
  const BytesView whole = content;
  while (!content.empty()) {
    const ssize_t wrote = ::write(file.get(), content.data(), content.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return errno;
    content = content.subspan(static_cast<std::size_t>(wrote));
  }
  if (durable && fsync(file.get()) != 0) return errno;
  struct stat status {};
  if (fstat(file.get(), &status) != 0) return errno;
  revision_ = revision_of(whole, status);
  return close(file.release()) == 0 ? 0 : errno;
}

int UnfinishedFile::take_its_place() {
  struct stat old {};
  // Some file systems cannot exchange.
  if (fstatat(directory_, name_.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(old.st_mode) &&
      renameat2(directory_, beside_.c_str(), directory_, name_.c_str(), RENAME_EXCHANGE) == 0) {
    there_ = !empty_the_old_one() || !spares_.keep(folder_, beside_);
    return 0;
  }
  if (renameat(directory_, beside_.c_str(), directory_, name_.c_str()) != 0) return errno;
  there_ = false;
  return 0;
}

// Others may have a link to it, or own it: then it is no spare file of ours.
bool UnfinishedFile::empty_the_old_one() const {
  const Descriptor old(openat(directory_, beside_.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  return old.valid() && fstat(old.get(), &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1 &&
         status.st_uid == geteuid() && ftruncate(old.get(), 0) == 0;
}

std::uint64_t revision_of(BytesView content, const struct stat& status) {
  // The time and the inode tell two writes of the same bytes apart.
  Bytes all = sha256(content);
  const std::array<std::uint64_t, 3> facts{static_cast<std::uint64_t>(status.st_ino),
                                           static_cast<std::uint64_t>(status.st_mtim.tv_sec),
                                           static_cast<std::uint64_t>(status.st_mtim.tv_nsec)};
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(facts.data());
  all.insert(all.end(), bytes, bytes + sizeof facts);
  const Bytes digest = sha256(all);
  std::uint64_t revision = 0;
  std::memcpy(&revision, digest.data(), sizeof revision);
  return revision;
}

}  // namespace evercert
