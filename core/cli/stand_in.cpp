#include "cli/stand_in.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agent/observe/audit_trail.h"
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

Result<std::uint64_t> StandIn::publish(Bundle bundle, const std::string& event, const std::string& sentence) {
  Result<StateReader> state = StateReader::open(state_path_);
  if (!state) {
    return state.error();
  }
  Result<std::vector<std::uint64_t>> generations = generations_of(*state, bundle.name);
  if (!generations) {
    return generations.error();
  }
  bundle.generation = generations->empty() ? 1 : generations->front() + 1;
  if (Result<Done> proved = verify_bundle(bundle, std::chrono::system_clock::now()); !proved) {
    return proved.error();
  }
  Result<Bytes> sealed = seal_bundle(keys_.serving, bundle);
  if (!sealed) {
    return sealed.error();
  }
  Store::PutOptions options;
  options.condition.kind = Store::Condition::Kind::absent;
  if (Result<std::uint64_t> put = store_->put(bundle_path(bundle.name, bundle.generation), *sealed, options); !put) {
    return put.error();
  }
  // Agents of other servers read the trail to learn of new generations. The certificate is safe without it.
  Silence silence;
  if (Result<AuditTrail> trail = AuditTrail::open(state_path_, silence)) {
    Event told;
    told.name = event;
    told.level = LogLevel::notice;
    told.at = std::chrono::system_clock::now();
    told.certificate = bundle.name;
    told.issuer = bundle.issuer;
    told.sentence = sentence;
    told.fields = {{"generation", std::to_string(bundle.generation)}, {"origin", bundle.origin}};
    trail->record(told);
  }
  return bundle.generation;
}

}  // namespace evercert
