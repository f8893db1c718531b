#include "cli/lead.h"

#include <chrono>
#include <thread>

#include "agent/control/control.h"
#include "cli/commands.h"
#include "cli/starter.h"
#include "evercert/descriptor.h"
#include "evercert/leader_file.h"
#include "serving/platform/inspect.h"

namespace evercert {
namespace {

using namespace std::chrono_literals;

constexpr auto longest_change = 5s;
constexpr auto longest_change_unseen = 2s;  // where it is not to be seen whether a server runs
constexpr auto longest_unheld = 1s;         // HAProxy's master lets go of the file while it begins anew
constexpr auto between_looks = 50ms;

// One whose file "leader" somebody has taken away leads on.
std::optional<pid_t> who_answers(const std::string& state_path) {
  if (!somebody_listens(state_path).value_or(false)) return std::nullopt;
  const auto keys = keys_of(state_path);
  if (!keys || !*keys) return std::nullopt;
  auto agent = ControlConnection::open(state_path, (**keys).agent, ControlConnection::Wait::no);
  if (!agent) return std::nullopt;
  const auto proved = agent->prove(1s);
  if (!proved || !*proved) return std::nullopt;
  return static_cast<pid_t>(agent->agent_pid());
}

}  // namespace

bool Lead::may_be(std::uint64_t number) const {
  return pid <= 0 || is_called(pid, number);
}

Result<std::optional<Election::Holder>> holder_of_lead(const std::string& state_path) {
  const Result<std::optional<Descriptor>> file = existing_leader_file(state_path);
  if (!file) return file.error();
  return *file ? Election((*file)->get(), Election::As::command_line).holder() : std::nullopt;
}

Lead lead_of(const std::string& state_path) {
  const auto holder = holder_of_lead(state_path);
  if (!holder) {
    const auto listens = somebody_listens(state_path);
    return {listens && !*listens ? Lead::Kind::nobody : Lead::Kind::unknown, 0};
  }
  if (!*holder) {
    const auto pid = who_answers(state_path);
    return pid ? Lead{Lead::Kind::agent, *pid} : Lead{Lead::Kind::nobody, 0};
  }
  const pid_t pid = (*holder)->pid;
  if (!(*holder)->agent) return {Lead::Kind::command, pid};
  return {pid > 0 && is_stopped(pid) ? Lead::Kind::stopped : Lead::Kind::agent, pid};
}

Lead settled_lead(const std::string& state_path) {
  using Clock = std::chrono::steady_clock;
  const bool seen = holder_of_lead(state_path).has_value();
  const auto end = Clock::now() + (seen ? longest_change : longest_change_unseen);
  auto held = Clock::now();
  while (true) {
    const Lead lead = lead_of(state_path);
    const bool settled = lead.kind != Lead::Kind::nobody && lead.kind != Lead::Kind::command;
    const auto now = Clock::now();
    if (settled || now >= end) return lead;
    if (!seen || lead.kind == Lead::Kind::command || leader_file_is_held(state_path)) held = now;
    if (now - held >= longest_unheld) return lead;
    std::this_thread::sleep_for(between_looks);
  }
}

std::string words_for(pid_t pid) {
  return pid > 0 ? "process " + std::to_string(pid) : "a process that is not to be seen from here";
}

}  // namespace evercert
