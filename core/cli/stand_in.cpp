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
#include "agent/store/revoked_leaves.h"
#include "evercert/descriptor.h"
#include "serving/base/limits.h"
#include "serving/platform/files.h"

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
  // Before the privileges go: it is root's.
  Result<Descriptor> leader_file = open_leader_file(state_path);
  if (!leader_file) {
    return leader_file.error();
  }
  if (Result<Done> became = become_owner(state.get(), path); !became) {
    return became.error();
  }
  Election election(leader_file->get(), Election::As::command_line);
  Result<bool> leads = election.stand();
  if (!leads) {
    return leads.error();
  }
  if (!*leads) {
    const std::optional<Election::Holder> holder = election.holder();
    const std::string who = holder && holder->pid > 0 ? "process " + std::to_string(holder->pid) : "another process";
    return Error{ErrorKind::connection, who + " holds the lead of " + state_path +
                                            " and does not answer: it is just starting or stopping; try again, and if it "
                                            "stays so, end it, its server starts another"};
  }
  std::unique_ptr<Store> store = make_file_store(std::move(state), leader_file->get(), {});
  return StandIn(state_path, std::move(keys), std::move(*leader_file), std::move(election), std::move(store));
}

Result<std::uint64_t> StandIn::written(const std::string& name, Result<std::uint64_t> generation, const char* event,
                                       const std::string& what) {
  if (!generation) {
    return generation;
  }
  if (Result<Done> kept = reached_->raise(name, *generation); !kept) {
    return kept.error();
  }
  tell(event, name, *generation, name + what + std::to_string(*generation));
  return generation;
}

Result<std::uint64_t> StandIn::adopt(Bundle bundle) {
  for (const BundlePair& pair : bundle.pairs)
    if (Result<Done> fresh = refuse_revoked(*store_, pair.leaf); !fresh) {
      return fresh.error();
    }
  const std::string name = bundle.name;
  PublishOptions options;
  options.above = reached_->of(name);
  return written(name, publish_bundle(*store_, keys_.serving, std::move(bundle), std::chrono::system_clock::now(), options),
                 "imported", " was taken over as generation ");
}

Result<std::uint64_t> StandIn::roll_back(const std::string& name, std::optional<std::uint64_t> to) {
  PublishOptions options;
  options.above = reached_->of(name);
  return written(name, rollback(*store_, keys_.serving, name, to, std::chrono::system_clock::now(), options), "rolled_back",
                 " was rolled back; the older certificate is now generation ");
}

Result<Done> StandIn::keep_index(const std::vector<StoredLine>& lines) const {
  const std::string path = state_path_ + "/state";
  const Descriptor state(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!state.valid()) {
    return system_error(ErrorKind::storage, "cannot open " + path, errno);
  }
  const Result<Bytes> index = seal_line_index(keys_.serving, lines);
  if (!index) {
    return index.error();
  }
  // One that no start would read is not written.
  if (index->size() > largest_index) {
    return Done{};
  }
  WriteOptions options;
  options.durable = false;
  options.mode = 0600;
  return write_file(state.get(), line_index_file, *index, options);
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
