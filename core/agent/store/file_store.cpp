#include "agent/store/file_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agent/store/file_watch.h"
#include "agent/store/leader_locks.h"
#include "agent/store/unfinished_file.h"
#include "evercert/descriptor.h"
#include "serving/platform/directory.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

constexpr std::size_t largest_component = 240;  // leaves room for ".….XXXXXX"
constexpr std::chrono::seconds longest_wait_for_others{10};

bool is_key_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

bool is_component(std::string_view component) {
  return !component.empty() && component.size() <= largest_component && component.front() != '.' &&
         std::all_of(component.begin(), component.end(), is_key_character);
}

Error no_object_at(const std::string& key, const std::string& why) {
  return {ErrorKind::storage, "cannot read " + key + ": " + why, std::nullopt,
          std::make_shared<const Problem>(Problem{no_object, "", "", {}})};
}

Result<Done> check_key(std::string_view key) {
  std::string_view rest = key;
  while (true) {
    const std::size_t end = rest.find('/');
    if (!is_component(rest.substr(0, end))) {
      return Error{ErrorKind::internal, "\"" + std::string(key) + "\" is no key of the store"};
    }
    if (end == std::string_view::npos) return Done{};
    rest.remove_prefix(end + 1);
  }
}

std::pair<std::string, std::string> split(const std::string& key) {
  const std::size_t slash = key.rfind('/');
  if (slash == std::string::npos) return {"", key};
  return {key.substr(0, slash), key.substr(slash + 1)};
}

mode_t mode_of(std::string_view name) {
  return name.ends_with(".bundle") ? 0640 : 0600;
}

class FileStore : public Store {
 public:
  FileStore(Descriptor state, int leader_file, FileStoreOptions options)
      : state_(std::move(state)), leader_file_(leader_file), options_(options) {}

  Result<std::optional<StoredObject>> get(const std::string& key) override {
    if (const auto valid = check_key(key); !valid) return valid.error();
    // A file that is replaced while it is read is emptied: what has its name afterwards is read instead.
    constexpr int attempts = 100;
    for (int attempt = 0; attempt < attempts; ++attempt) {
      const Descriptor file(open_beneath(state_.get(), key, O_RDONLY | O_NONBLOCK));
      if (!file.valid() && errno == ENOENT) return std::optional<StoredObject>();
      struct stat status {};
      if (!file.valid() || fstat(file.get(), &status) != 0)
        return system_error(ErrorKind::storage, "cannot read " + key, errno);
      if (!S_ISREG(status.st_mode)) return no_object_at(key, "it is not a regular file");
      if (static_cast<std::uint64_t>(status.st_size) > largest_bundle) return no_object_at(key, "it is too large");
      auto content = read_descriptor(file.get(), largest_bundle);
      if (!content) return content.error().with_prefix("cannot read " + key);
      // Within one tick of its clock the kernel gives two writes one time.
      if (content->size() != static_cast<std::size_t>(status.st_size) || !is_still(key, file.get(), status)) continue;
      const std::uint64_t revision = revision_of(*content, status);
      return std::optional<StoredObject>({std::move(*content), revision});
    }
    return Error{ErrorKind::storage, "cannot read " + key + ": it changes all the time"};
  }

  Result<std::vector<std::string>> list(const std::string& prefix) override {
    std::vector<std::string> keys;
    std::vector<std::string> open{prefix};
    while (!open.empty()) {
      const std::string directory = std::move(open.back());
      open.pop_back();
      auto entries = entries_below(directory);
      if (!entries) return entries.error();
      for (const DirectoryEntry& entry : *entries) {
        if (!is_component(entry.name)) continue;
        if (entry.kind == DirectoryEntry::Kind::file) keys.push_back(directory + entry.name);
        if (entry.kind == DirectoryEntry::Kind::directory) open.push_back(directory + entry.name + "/");
      }
    }
    return keys;
  }

  Result<std::uint64_t> put(const std::string& key, BytesView value, const PutOptions& options) override {
    if (const auto valid = check_key(key); !valid) return valid.error();
    if (value.size() > largest_record) return Error{ErrorKind::internal, "cannot write " + key + ": it is too large"};
    const auto [folder, name] = split(key);
    const bool durable = options.durability == Durability::power;
    const auto directory = make_directories(folder, durable);
    if (!directory) return directory.error();
    UnfinishedFile file(directory->get(), folder, name, spares_);
    if (const int code = file.write(value, mode_of(name), options_.group, durable); code != 0) {
      return system_error(ErrorKind::storage, "cannot write " + key, code);
    }
    {
      // Written and fsynced before, so that others wait for a rename only.
      const auto others = keep_others_out();
      if (!others) return others.error();
      if (const auto allowed = check_condition(key, options); !allowed) return allowed.error();
      if (const int code = file.take_its_place(); code != 0)
        return system_error(ErrorKind::storage, "cannot write " + key, code);
    }
    if (durable && fsync(directory->get()) != 0) {
      return system_error(ErrorKind::storage, "cannot make " + key + " durable", errno);
    }
    return file.revision();
  }

  Result<Done> erase(const std::string& key) override {
    if (const auto valid = check_key(key); !valid) return valid.error();
    const auto [folder, name] = split(key);
    const Descriptor directory(open_folder(folder));
    if (!directory.valid() && errno == ENOENT) return Done{};
    if (!directory.valid()) return system_error(ErrorKind::storage, "cannot erase " + key, errno);
    const auto others = keep_others_out();
    if (!others) return others.error();
    if (unlinkat(directory.get(), name.c_str(), 0) != 0 && errno != ENOENT) {
      return system_error(ErrorKind::storage, "cannot erase " + key, errno);
    }
    return Done{};
  }

  Result<std::string> quarantine(const std::string& key) override {
    if (const auto valid = check_key(key); !valid) return valid.error();
    const auto [folder, name] = split(key);
    const Descriptor from(open_folder(folder));
    if (!from.valid()) return system_error(ErrorKind::storage, "cannot move " + key + " to quarantine", errno);
    const auto to = make_directories("quarantine", true);
    if (!to) return to.error();
    std::string flat = key;
    std::replace(flat.begin(), flat.end(), '/', '_');
    if (flat.size() > 200) flat = flat.substr(flat.size() - 200);
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
    const auto others = keep_others_out();
    if (!others) return others.error();
    for (int attempt = 0; attempt < 1000; ++attempt) {
      const std::string target = flat + "." + std::to_string(now.count()) + "." + std::to_string(attempt);
      if (faccessat(to->get(), target.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0) continue;
      if (renameat(from.get(), name.c_str(), to->get(), target.c_str()) != 0) break;
      if (fsync(to->get()) != 0 || fsync(from.get()) != 0) break;
      return "quarantine/" + target;
    }
    return system_error(ErrorKind::storage, "cannot move " + key + " to quarantine", errno);
  }

  Result<std::size_t> sweep(std::chrono::system_clock::time_point now) override {
    return sweep_unfinished_files(state_.get(), now);
  }

  Result<std::unique_ptr<StoreLock>> lock(const std::string& name, std::chrono::milliseconds wait,
                                          std::stop_token stop) override {
    return lock_leader_byte(leader_file_, leader_byte_of("lock " + name), wait, stop);
  }

  Result<std::unique_ptr<StoreWatch>> watch(const std::string& prefix,
                                            std::function<void(const std::string& key)> changed) override {
    return watch_files(Descriptor(fcntl(state_.get(), F_DUPFD_CLOEXEC, 0)), prefix, std::move(changed));
  }

 private:
  // Held by others for the length of a rename; long only when their process was stopped in that moment.
  Result<std::unique_ptr<StoreLock>> keep_others_out() {
    auto turn = lock_leader_byte(leader_file_, turn_, longest_wait_for_others, {});
    if (!turn || *turn) return turn;
    const auto holder = holder_of_leader_byte(leader_file_, turn_);
    const std::string who = holder && *holder > 0 ? "process " + std::to_string(*holder) : "another process";
    return Error{ErrorKind::storage,
                 who + " does not let go of the lock of the store; it may be stopped: if it stays so, end it"};
  }

  Result<Done> check_condition(const std::string& key, const PutOptions& options) {
    if (options.condition.kind == Condition::Kind::any) return Done{};
    // Nothing of ours is a link: one in our place counts as nothing, and is replaced.
    if (options.condition.kind == Condition::Kind::absent && is_link(key)) return Done{};
    const auto present = get(key);
    if (!present) return present.error();
    if (options.condition.kind == Condition::Kind::absent && *present) {
      return Error{ErrorKind::storage, "cannot write " + key + ": it exists already"};
    }
    if (options.condition.kind == Condition::Kind::revision &&
        (!*present || (*present)->revision != options.condition.revision)) {
      return Error{ErrorKind::storage, "cannot write " + key + ": it has changed meanwhile"};
    }
    return Done{};
  }

  // True when the key still names the file that `before` describes, and nobody wrote to it since.
  [[nodiscard]] bool is_still(const std::string& key, int file, const struct stat& before) const {
    struct stat now {};
    struct stat named {};
    const Descriptor present(open_beneath(state_.get(), key, O_PATH));
    return fstat(file, &now) == 0 && present.valid() && fstat(present.get(), &named) == 0 && named.st_ino == before.st_ino &&
           named.st_dev == before.st_dev && now.st_size == before.st_size && now.st_ctim.tv_sec == before.st_ctim.tv_sec &&
           now.st_ctim.tv_nsec == before.st_ctim.tv_nsec;
  }

  [[nodiscard]] bool is_link(const std::string& key) const {
    const auto [folder, name] = split(key);
    const Descriptor directory(open_folder(folder));
    struct stat status {};
    return directory.valid() && fstatat(directory.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISLNK(status.st_mode);
  }

  Result<std::vector<DirectoryEntry>> entries_below(const std::string& prefix) {
    Descriptor directory(open_folder(prefix.substr(0, prefix.size() - (prefix.ends_with('/') ? 1 : 0))));
    if (!directory.valid() && errno == ENOENT) return std::vector<DirectoryEntry>();
    if (!directory.valid()) return system_error(ErrorKind::storage, "cannot list " + prefix, errno);
    return entries_of(std::move(directory));
  }

  [[nodiscard]] Descriptor open_folder(const std::string& folder) const {
    if (folder.empty()) return Descriptor(openat(state_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return Descriptor(open_beneath(state_.get(), folder, O_RDONLY | O_DIRECTORY));
  }

  // Opens a directory below the state directory, making what is missing.
  Result<Descriptor> make_directories(const std::string& folder, bool durable) {
    Descriptor current(open_folder(folder));
    if (current.valid()) return current;
    if (errno != ENOENT) return system_error(ErrorKind::storage, "cannot open the directory " + folder, errno);
    current = open_folder("");
    std::size_t begin = 0;
    while (begin < folder.size()) {
      const std::size_t end = std::min(folder.find('/', begin), folder.size());
      const std::string component = folder.substr(begin, end - begin);
      const bool made = mkdirat(current.get(), component.c_str(), 0750) == 0;
      if (!made && errno != EEXIST) return system_error(ErrorKind::storage, "cannot make the directory " + folder, errno);
      Descriptor next(openat(current.get(), component.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!next.valid()) return system_error(ErrorKind::storage, "cannot open the directory " + folder, errno);
      if (made) {
        const bool owned = !options_.group || fchown(next.get(), static_cast<uid_t>(-1), *options_.group) == 0;
        if (!owned || fchmod(next.get(), 0750) != 0 || (durable && fsync(current.get()) != 0)) {
          return system_error(ErrorKind::storage, "cannot make the directory " + folder, errno);
        }
      }
      current = std::move(next);
      begin = end + 1;
    }
    return current;
  }

  Descriptor state_;
  const int leader_file_;
  const off_t turn_ = leader_byte_of("turn");
  FileStoreOptions options_;
  SpareFiles spares_;
};

}  // namespace

std::unique_ptr<Store> make_file_store(Descriptor state, int leader_file, FileStoreOptions options) {
  return std::make_unique<FileStore>(std::move(state), leader_file, options);
}

}  // namespace evercert
