#include "cli/stand_in.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agent/observe/audit_trail.h"
#include "agent/store/bundles.h"
#include "agent/store/file_store.h"
#include "serving/base/files.h"

namespace evercert {
namespace {

class Silence : public Logger {
 public:
  void write(LogLevel, std::string_view) override {}
};

Result<Done> become_owner(int state, const std::string& path) {
  struct stat facts {};
  if (::fstat(state, &facts) != 0) {
    return system_error(ErrorKind::storage, "cannot look at " + path, errno);
  }
  const uid_t self = ::geteuid();
  if (self == facts.st_uid) {
    return Done{};
  }
  if (self != 0) {
    return Error{ErrorKind::storage, path + " belongs to another user: run this as root"};
  }
  if (::setgroups(0, nullptr) != 0 || ::setresgid(facts.st_gid, facts.st_gid, facts.st_gid) != 0 ||
      ::setresuid(facts.st_uid, facts.st_uid, facts.st_uid) != 0) {
    return system_error(ErrorKind::storage, "cannot become the owner of " + path, errno);
  }
  return Done{};
}

Result<Descriptor> lock_agent(int state, const std::string& path) {
  Descriptor file(::openat(state, "agent.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
  if (!file.valid()) {
    return system_error(ErrorKind::storage, "cannot open " + path + "/agent.lock", errno);
  }
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(file.get(), F_OFD_SETLK, &whole) != 0) {
    return Error{ErrorKind::connection, "an agent holds " + path +
                                            "/agent.lock but does not answer: it is just starting or "
                                            "stopping; try again"};
  }
  return file;
}

}  // namespace

bool usable_name(std::string_view name) {
  const std::string_view rest = name.starts_with("*.") ? name.substr(2) : name;
  return !rest.empty() && name.size() <= 253 && !rest.starts_with('.') && rest.find("..") == std::string_view::npos &&
         std::all_of(rest.begin(), rest.end(), [](char letter) {
           return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '.' || letter == '-' ||
                  letter == '_';
         });
}

Result<StandIn> StandIn::take_place(const std::string& state_path, SealKeys keys) {
  const std::string path = state_path + "/state";
  Descriptor state(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!state.valid()) {
    return system_error(ErrorKind::storage, "cannot open " + path, errno);
  }
  if (Result<Done> became = become_owner(state.get(), path); !became) {
    return became.error();
  }
  Result<Descriptor> lock = lock_agent(state.get(), path);
  if (!lock) {
    return lock.error();
  }
  return StandIn(state_path, std::move(keys), std::move(*lock), make_file_store(std::move(state), {}));
}

Result<std::uint64_t> StandIn::adopt(Bundle bundle) {
  const std::string name = bundle.name;
  Result<std::uint64_t> generation =
      publish_bundle(*store_, keys_.serving, std::move(bundle), std::chrono::system_clock::now());
  if (generation) {
    tell("imported", name, *generation, "certificate imported, it is generation " + std::to_string(*generation));
  }
  return generation;
}

Result<std::uint64_t> StandIn::roll_back(const std::string& name, std::optional<std::uint64_t> to) {
  Result<std::uint64_t> generation = rollback(*store_, keys_.serving, name, to, std::chrono::system_clock::now());
  if (generation) {
    tell("rolled_back", name, *generation, "certificate rolled back, it is generation " + std::to_string(*generation));
  }
  return generation;
}

// Agents of other servers read the trail to learn of new generations. The certificate is safe without it.
void StandIn::tell(const std::string& event, const std::string& name, std::uint64_t generation,
                   const std::string& sentence) const {
  Silence silence;
  Result<AuditTrail> trail = AuditTrail::open(state_path_, silence);
  if (!trail) {
    return;
  }
  Event told;
  told.name = event;
  told.level = LogLevel::notice;
  told.at = std::chrono::system_clock::now();
  told.certificate = name;
  told.sentence = sentence;
  told.fields = {{"generation", std::to_string(generation)}};
  trail->record(told);
}

}  // namespace evercert
