// Starting and supervising the agent's program from a server. Knows processes and descriptors, no server and no event loop:
// the server watches one descriptor and calls back.
//
// Life: the starter makes one Instance (it outlives reloads) and one Cycle per configuration. A helper process of the server
// (nginx's manager, Apache's parent, HAProxy's worker) owns a Supervisor.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "evercert/descriptor.h"
#include "evercert/log.h"
#include "evercert/plan.h"
#include "evercert/state.h"

namespace evercert {

// What outlives reloads.
struct Instance {
  std::string id;  // random; two agents with the same id belong to the same server: the newer one takes over
  Descriptor board;
  Descriptor board_read_only;
  Descriptor report;
  Descriptor wake;  // eventfd: a worker saw something
  Descriptor link;  // the agent's end of an AgentLink (link.h), where workers cannot read bundles themselves; else missing
  static Result<std::shared_ptr<Instance>> create();
};

// What one configuration hands to the agent; both memory files are sealed against any change. Workers close them.
struct Cycle {
  Descriptor plan;             // JSON as in evercert.json
  Descriptor secrets;          // JSON: seal keys and the files that only the starter could read
  Descriptor leader;           // open_leader_file(); missing where that failed, and then
  std::string leader_of = {};  // the state path whose it is to be, which a starter that is
  uid_t leader_user = 0;       // still this user opens later
  // Whether the agent would read all of it; a check says so before a start fails. Errors: configuration, with the numbers.
  static Result<Done> fits(const Settings& settings, const DiskFiles& files);
  static Result<Cycle> create(const Settings& settings, const SealKeys& keys, const DiskFiles& files, Descriptor leader);
};

// The agent's side of the same: what it finds in its two memory files.
struct CarriedSecrets {
  SealKeys keys;
  std::map<std::string, Secret> files;
};
Result<CarriedSecrets> read_secrets(int descriptor);
Result<Secret> read_memory_file(int descriptor);

// Messages on the socketpair (SOCK_SEQPACKET), one JSON object each. Agent to starter: {"ready":1} once it is not dumpable,
// {"log":LEVEL,"line":TEXT}, LEVEL being error warn notice info debug; {"beat":1} every few seconds from its loop. Starter to
// agent: {"instance":ID} with the descriptors board, report, wake, plan, secrets, leader and, if there is one, link
// (SCM_RIGHTS) on the same message; {"again":PROGRAM}: finish the running step, execute this program (or the descriptor that
// comes with it) in the same process, and say ready; end of file or ECONNRESET: the server is gone.
//
// A server whose parent may not wait for anything (Apache's) starts the agent there and lets a forked child, with its copy of
// the supervisor, watch the descriptor.
class Supervisor {
 public:
  struct Program {
    std::string path;  // absolute; the argument vector is fixed: evercert run --descriptor 3
    // Set by hide(): what is executed in place of the path, and that a path which its user may read is not executed.
    std::shared_ptr<const Descriptor> image = {};
    bool hidden = false;
    std::optional<uid_t> become = {};  // drop to this user before exec (when privileged)
    gid_t become_group = 0;
    bool joins_session = false;                     // of its starter, which has one apart from the server's
    std::chrono::milliseconds ready_within{10000};  // an agent that takes longer to become ready is ended by tend()
  };
  // Neither `instance` nor `cycle` may go before the supervisor, which opens the leader file where that is missing. Nothing is
  // started yet.
  Supervisor(Program program, const Instance& instance, Cycle& cycle, Logger& log);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Forks and executes the program, there after a pause. Afterwards descriptor() is to be watched for input. What keeps it from
  // starting is logged here, once and later now and then: false, to be called again after restart_delay(). One that runs
  // already is left alone: false.
  bool start(std::chrono::milliseconds pause = std::chrono::milliseconds::zero());
  // Makes the running agent begin anew with what `cycle` holds now, and with this program: the same process, no order
  // interrupted. Errors (connection): it does not listen.
  Result<Done> begin_again(const Program& program);
  // For a server that waits for its children itself: this one has ended, `how` ("by signal 9"). As after `gone`.
  void ended(const std::string& how);
  [[nodiscard]] int descriptor() const;
  [[nodiscard]] pid_t pid() const;

  enum class State { running, gone };
  // To be called when descriptor() is readable or closed; reads without blocking, logs, delivers descriptors. `gone`:
  // descriptor() is closed; call start() again after restart_delay(). An exec that failed is told apart from a crash.
  // Takes all there is, so edge-triggered watching is fine.
  State on_readable();
  // To be called now and then (every few seconds) as well: ends an agent that does not become ready in time, or whose beats
  // are missing (it was stopped, or is stuck) unless it waits for a disk.
  State tend();
  // Back-off: 50 ms after the first loss, doubling to 60 s, back to 50 ms once an agent has lived for a minute; 5 s while the
  // leader file is awaited.
  [[nodiscard]] std::chrono::milliseconds restart_delay() const;

 private:
  class Content;
  std::unique_ptr<Content> content_;
};

// A program whose user may read it is dumpable from its first instruction until it says otherwise (execve(2), prctl(2)): a
// tracer of the same user that comes in between has its memory. So the starter, while it is root, executes a sealed copy in
// memory that only root can read; where the file itself is closed to others (mode 0711, as packages install it) no copy is
// needed. A new start takes the file as it is then. A script cannot be hidden, and a warning says so; where nothing is
// privileged nothing is done. Errors (configuration): the program may be read and no copy can be made; the sentence has the
// remedy.
Result<Done> hide(Supervisor::Program& program, Logger& log);

// For a test of the configuration, which must not accept what no start could execute. Errors (configuration): with the remedy.
Result<Done> check_program(const std::string& path);

// For servers whose serving processes may not start others (HAProxy): a keeper, the same program as `evercert keep`, owns the
// Supervisor. It is nobody's child (a server that reaps its children waits for it in vain), has what the agent needs before the
// server gives its privileges up, and starts nothing until the first serving process says so: {"go":1} on its channel. A
// configuration that is given up before leaves no trace.
struct Keeper {
  pid_t pid = -1;
  Descriptor channel;  // its log lines come here; end of file: no agent can be started any more
};
// Forks twice, waits until the keeper is ready (milliseconds) and hands over what `instance` and `cycle` hold; the caller
// closes its own copies of what serving processes must not have.
Result<Keeper> start_keeper(const Supervisor::Program& program, const Instance& instance, const Cycle& cycle);

// What keeps the agent's user from exporting into a directory, or its files from the directory's group, with the remedy;
// nullopt: nothing does. Only looks; for a test of the configuration, by whoever may see the directory.
std::optional<std::string> export_trouble(const std::string& path, uid_t user, gid_t group);

// Keeps this process's memory and descriptors from others of the same user. First thing in every worker and helper.
Result<Done> make_undumpable();

// A server that makes its children dumpable again when it drops their user (nginx) opens a window in which another process of
// that user can take descriptors out of them. These close it: the child keeps its permitted capabilities over setuid, which
// the kernel's check respects, until settle_child() gives them up.
//
// From a real start only, before the server forks; may be called again. Affects later forks of this process.
Result<Done> guard_forks();
// First thing in a child: not dumpable, permitted capabilities reduced to the effective ones, none kept any more. To be run
// in every child after guard_forks(), also when its configuration has nothing of ours.
Result<Done> settle_child();
// When the last instance goes. Without it children of a later configuration without evercert would keep capabilities.
void unguard_forks();

}  // namespace evercert
