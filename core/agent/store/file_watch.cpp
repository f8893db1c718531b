#include "agent/store/file_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include "agent/store/event_tail.h"
#include "evercert/descriptor.h"
#include "serving/platform/directory.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

constexpr const char* certificates_prefix = "certificates/";
constexpr const char* events_directory = "events";
constexpr std::uint32_t changes = IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE | IN_MODIFY | IN_CREATE;
constexpr std::uint32_t losses = IN_DELETE_SELF | IN_MOVE_SELF;

class FileWatch : public StoreWatch {
 public:
  using Changed = std::function<void(const std::string& key)>;

  FileWatch(Descriptor state, std::string prefix, Changed changed)
      : state_(std::move(state)),
        prefix_(std::move(prefix)),
        changed_(std::move(changed)),
        reads_events_(prefix_ == certificates_prefix),
        folder_(reads_events_ ? events_directory : prefix_.substr(0, prefix_.empty() ? 0 : prefix_.size() - 1)),
        notices_(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)),
        stopped_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  ~FileWatch() override {
    if (stopped_.valid()) eventfd_write(stopped_.get(), 1);
    if (thread_.joinable()) thread_.join();
  }
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  // What changes after this has returned is heard.
  Result<Done> start() {
    if (!state_.valid() || !notices_.valid() || !stopped_.valid()) {
      return system_error(ErrorKind::storage, "cannot watch " + prefix_, errno);
    }
    arm();
    if (armed_ && reads_events_) tail_.skip_present(open_watched().get());
    if (!armed_ && ancestors_.empty()) return system_error(ErrorKind::storage, "cannot watch " + prefix_, errno);
    thread_ = std::jthread([this] {
      at_boundary<bool>(
          false,
          [this] {
            listen();
            return true;
          },
          [](const std::string&) {});
    });
    return Done{};
  }

 private:
  int add_watch(int directory, std::uint32_t mask) const {
    const std::string path = "/proc/self/fd/" + std::to_string(directory);
    return inotify_add_watch(notices_.get(), path.c_str(), mask);
  }

  // Never kept open: the kernel would not tell that the directory was removed.
  [[nodiscard]] Descriptor open_watched() const {
    return Descriptor(folder_.empty() ? fcntl(state_.get(), F_DUPFD_CLOEXEC, 0)
                                      : open_beneath(state_.get(), folder_, O_RDONLY | O_DIRECTORY));
  }

  // Watches the directory, or, while it does not exist, those above it, in which it will appear.
  void arm() {
    ancestors_.clear();
    for (std::size_t end = 0; end != std::string::npos && !folder_.empty(); end = folder_.find('/', end + 1)) {
      const Descriptor above(end == 0 ? fcntl(state_.get(), F_DUPFD_CLOEXEC, 0)
                                      : open_beneath(state_.get(), folder_.substr(0, end), O_RDONLY | O_DIRECTORY));
      if (!above.valid()) break;
      ancestors_.push_back(add_watch(above.get(), IN_CREATE | IN_MOVED_TO | IN_ONLYDIR));
    }
    // The ancestors first: what appears between the two is then heard twice rather than not at all.
    const Descriptor directory = open_watched();
    watch_ = directory.valid() ? add_watch(directory.get(), changes | losses) : -1;
    armed_ = watch_ >= 0;
    if (!armed_) return;
    for (const int ancestor : ancestors_) {
      if (ancestor >= 0 && ancestor != watch_) inotify_rm_watch(notices_.get(), ancestor);
    }
    ancestors_.clear();
  }

  void listen() {
    std::array<pollfd, 2> watched{pollfd{notices_.get(), POLLIN, 0}, pollfd{stopped_.get(), POLLIN, 0}};
    alignas(inotify_event) std::array<char, 16384> buffer{};
    while (true) {
      if (poll(watched.data(), watched.size(), -1) < 0 && errno != EINTR) return;
      if (watched[1].revents != 0) return;
      const ssize_t size = read(notices_.get(), buffer.data(), buffer.size());
      for (ssize_t at = 0; at < size;) {
        inotify_event notice{};
        std::memcpy(&notice, buffer.data() + at, sizeof notice);
        const char* const name = buffer.data() + at + sizeof notice;
        take(notice, notice.len > 0 ? name : "");
        at += static_cast<ssize_t>(sizeof notice + notice.len);
      }
    }
  }

  void take(const inotify_event& notice, const std::string& name) {
    if ((notice.mask & IN_Q_OVERFLOW) != 0) {
      if (reads_events_ && armed_) tail_.skip_present(open_watched().get());
      changed_(prefix_);
      return;
    }
    if (armed_ && notice.wd == watch_) {
      if ((notice.mask & (losses | IN_IGNORED)) != 0) {
        inotify_rm_watch(notices_.get(), watch_);
        begin_again();
      } else {
        take_change(notice.mask, name);
      }
    } else if (!armed_) {
      begin_again();
    }
  }

  // The directory has gone, or it or one above it has appeared.
  void begin_again() {
    const bool was_armed = armed_;
    arm();
    if (armed_ && reads_events_) {
      read_all_events();
    } else if (armed_ || (was_armed && !reads_events_)) {
      changed_(prefix_);
    }
  }

  void take_change(std::uint32_t mask, const std::string& name) {
    if (name.empty() || name.front() == '.') return;  // unfinished files
    if (reads_events_) {
      tail_.read_new(open_watched().get(), name, changed_);
    } else if ((mask & (IN_CREATE | IN_MODIFY)) == 0 || (mask & IN_ISDIR) != 0) {
      // A file is there once it is renamed into place or closed; being made or written to says nothing yet.
      changed_(prefix_ + name + ((mask & IN_ISDIR) != 0 ? "/" : ""));
    }
  }

  void read_all_events() {
    const Descriptor directory = open_watched();
    const auto entries = entries_of(open_watched());
    if (!directory.valid() || !entries) return;
    for (const DirectoryEntry& entry : *entries) tail_.read_new(directory.get(), entry.name, changed_);
  }

  Descriptor state_;
  std::string prefix_;
  Changed changed_;
  bool reads_events_;
  std::string folder_;
  Descriptor notices_;
  Descriptor stopped_;
  int watch_ = -1;
  bool armed_ = false;
  std::vector<int> ancestors_;
  EventTail tail_;
  std::jthread thread_;
};

}  // namespace

Result<std::unique_ptr<StoreWatch>> watch_files(Descriptor state, std::string prefix,
                                                std::function<void(const std::string& key)> changed) {
  if (!prefix.empty() && !prefix.ends_with('/')) {
    return Error{ErrorKind::internal, "cannot watch \"" + prefix + "\": it does not end in \"/\""};
  }
  auto watch = std::make_unique<FileWatch>(std::move(state), std::move(prefix), std::move(changed));
  if (const auto started = watch->start(); !started) return started.error();
  return std::unique_ptr<StoreWatch>(std::move(watch));
}

}  // namespace evercert
