// The state directory's frame: its two directories and its seal key.
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "evercert/descriptor.h"
#include "evercert/state.h"
#include "serving/base/encoding.h"
#include "serving/platform/directory.h"
#include "serving/platform/files.h"
#include "serving/store/ownership.h"
#include "serving/store/seal_key.h"

namespace evercert {
namespace {

constexpr const char* key_file = "seal.key";

Result<Descriptor> open_directory(const std::string& path) {
  Descriptor directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return system_error(ErrorKind::storage, "the directory \"" + path + "\" cannot be opened", errno);
  return directory;
}

// As rename, but fails with EEXIST instead of replacing.
int rename_without_replacing(int directory, const char* from, const char* to) {
  if (renameat2(directory, from, directory, to, RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return -1;
  // Some file systems cannot; a hard link has the same guarantee in two steps.
  if (linkat(directory, from, directory, to, 0) != 0) return -1;
  return unlinkat(directory, from, 0);
}

Result<Done> write_all(int file, BytesView content, const std::string& what) {
  while (!content.empty()) {
    const ssize_t wrote = write(file, content.data(), content.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return system_error(ErrorKind::storage, what, errno);
    content = content.subspan(static_cast<std::size_t>(wrote));
  }
  return Done{};
}

// Makes the key file unless another starter was faster; whoever wins, the file on disk is the key afterwards.
Result<Done> make_key_file(int directory, const std::string& path) {
  const std::string what = "the seal key \"" + path + "\" cannot be made";
  const std::string beside = std::string(".") + key_file + "." + to_hex(random_bytes(3));
  Descriptor file(openat(directory, beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) return system_error(ErrorKind::storage, what, errno);
  const Secret text = seal_key_text(Secret(random_bytes(32)));
  Result<Done> written = write_all(file.get(), text.view(), what);
  if (written && fchmod(file.get(), 0600) != 0) written = system_error(ErrorKind::storage, what, errno);
  if (written && fsync(file.get()) != 0) written = system_error(ErrorKind::storage, what, errno);
  if (written && close(file.release()) != 0) written = system_error(ErrorKind::storage, what, errno);
  if (written && rename_without_replacing(directory, beside.c_str(), key_file) != 0 && errno != EEXIST) {
    written = system_error(ErrorKind::storage, what, errno);
  }
  unlinkat(directory, beside.c_str(), 0);
  if (written && fsync(directory) != 0) written = system_error(ErrorKind::storage, what, errno);
  return written;
}

Result<Done> check_key_file(int directory, int file, const std::string& path) {
  struct stat above {};
  struct stat status {};
  if (fstat(directory, &above) != 0 || fstat(file, &status) != 0) {
    return system_error(ErrorKind::storage, "\"" + path + "\" cannot be examined", errno);
  }
  const auto refused = [&path](const std::string& why) {
    return Error{ErrorKind::storage, "\"" + path + "\" is refused: " + why};
  };
  if (!S_ISREG(status.st_mode)) return refused("it is not a regular file");
  if (status.st_uid != geteuid()) {
    return refused("it belongs to user " + std::to_string(status.st_uid) + ", who knows what it seals; run: chown " +
                   std::to_string(geteuid()) + " " + path + " if you have put it there, else take it and state/ away");
  }
  // A volume with a group of its own gives that group all files at each mount. Whoever may, takes it back.
  const bool only_group = (status.st_mode & 07) == 0;
  if ((status.st_mode & 077) != 0 && !(only_group && fchmod(file, 0600) == 0))
    return refused("others than its owner may read it; run: chmod 600 " + path);
  if ((above.st_mode & S_IWOTH) != 0 && (above.st_mode & S_ISVTX) == 0) {
    return refused("everybody may replace it; take the write permission for others from its directory");
  }
  return Done{};
}

Result<std::optional<SealKeys>> read_key_file(int directory, const std::string& path) {
  // Not blocking: somebody may have left a pipe under this name.
  const Descriptor file(open_beneath(directory, key_file, O_RDONLY | O_NONBLOCK));
  if (!file.valid() && errno == ENOENT) return std::optional<SealKeys>();
  if (!file.valid()) return system_error(ErrorKind::storage, "\"" + path + "\" cannot be opened", errno);
  if (const auto checked = check_key_file(directory, file.get(), path); !checked) return checked.error();
  auto text = read_descriptor(file.get(), largest_seal_key);
  if (!text) return text.error().with_prefix("\"" + path + "\" cannot be read");
  const Secret owned(std::move(*text));
  auto root = read_seal_key_text(owned.view(), path);
  if (!root) return root.error();
  auto keys = derive_seal_keys(*root);
  if (!keys) return keys.error();
  return std::optional<SealKeys>(std::move(*keys));
}

std::string user_name(uid_t user) {
  const passwd* const entry = getpwuid(user);
  return entry == nullptr ? "user " + std::to_string(user) : entry->pw_name;
}

Result<bool> is_empty(int directory) {
  auto entries = entries_of(Descriptor(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  if (!entries) return entries.error();
  return entries->empty();
}

// The agent's own directory: made, or brought to its owner as long as it holds nothing.
Result<Done> settle_inner(int above, const std::string& path, std::uint32_t owner, std::uint32_t group,
                          const StatePathAdvice& advice) {
  const std::string what = "the state directory \"" + path + "\" cannot be prepared";
  if (mkdirat(above, "state", 0750) != 0 && errno != EEXIST) {
    Error error = system_error(ErrorKind::storage, what, errno);
    if (error.denied) error.message += "; run it as root, or name another state_path";
    return error;
  }
  const Descriptor inner(openat(above, "state", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!inner.valid()) return system_error(ErrorKind::storage, what, errno);
  struct stat status {};
  if (fstat(inner.get(), &status) != 0) return system_error(ErrorKind::storage, what, errno);
  const bool privileged = geteuid() == 0;
  if (privileged && status.st_uid != owner) {
    const auto empty = is_empty(inner.get());
    if (!empty) return empty.error();
    if (!*empty) {
      const std::string own = own_state_path(path.substr(0, path.rfind('/')), user_name(owner));
      return Error{ErrorKind::storage, what + ": it belongs to " + user_name(status.st_uid) +
                                           ", but the agent of this server runs as " + user_name(owner) +
                                           ", and one directory serves one user; give this server one of its own: " +
                                           (advice ? advice(own) : "state_path " + own)};
    }
  }
  if (privileged && (status.st_uid != owner || status.st_gid != group) && fchown(inner.get(), owner, group) != 0) {
    return system_error(ErrorKind::storage, what, errno);
  }
  if ((status.st_mode & 07777) != 0750 && (privileged || status.st_uid == geteuid()) && fchmod(inner.get(), 0750) != 0) {
    return system_error(ErrorKind::storage, what, errno);
  }
  return Done{};
}

}  // namespace

Result<Done> check_state_path(const std::string& state_path) {
  return check_only_root_writes(state_path, "the state directory");
}

std::string own_state_path(const std::string& state_path, const std::string& user) {
  return state_path + "-" + user;
}

Result<Done> prepare_state_directories(const std::string& state_path, std::uint32_t owner, std::uint32_t group,
                                       const StatePathAdvice& advice) {
  if (auto safe = check_state_path(state_path); !safe) return safe;
  if (mkdir(state_path.c_str(), 0755) == 0) {
    // Whatever the umask: the agent must reach what lies below.
    if (chmod(state_path.c_str(), 0755) != 0) {
      return system_error(ErrorKind::storage, "the directory \"" + state_path + "\" cannot be prepared", errno);
    }
  } else if (errno != EEXIST) {
    return system_error(ErrorKind::storage, "the directory \"" + state_path + "\" cannot be made", errno);
  }
  const auto directory = open_directory(state_path);
  if (!directory) return directory.error();
  return settle_inner(directory->get(), state_path + "/state", owner, group, advice);
}

Result<std::optional<SealKeys>> existing_seal_keys(const std::string& state_path) {
  if (auto safe = check_state_path(state_path); !safe) return safe.error();
  const Descriptor directory(open(state_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() && errno == ENOENT) return std::optional<SealKeys>();
  if (!directory.valid()) {
    return system_error(ErrorKind::storage, "the directory \"" + state_path + "\" cannot be opened", errno);
  }
  return read_key_file(directory.get(), state_path + "/" + key_file);
}

Result<SealKeys> seal_keys(const std::string& state_path) {
  if (auto safe = check_state_path(state_path); !safe) return safe.error();
  const auto directory = open_directory(state_path);
  if (!directory) return directory.error();
  const std::string path = state_path + "/" + key_file;
  auto found = read_key_file(directory->get(), path);
  if (!found) return found.error();
  if (!*found) {
    if (const auto made = make_key_file(directory->get(), path); !made) return made.error();
    found = read_key_file(directory->get(), path);
    if (!found) return found.error();
    if (!*found) return Error{ErrorKind::storage, "\"" + path + "\" vanished while it was being made"};
  }
  return std::move(**found);
}

}  // namespace evercert
