#include "cli/conversation.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <iomanip>
#include <ostream>

#include "cli/commands.h"
#include "cli/lead.h"
#include "cli/terminal.h"
#include "serving/base/json.h"
#include "serving/launch/carried_format.h"

namespace evercert {
namespace {

using namespace std::chrono_literals;

std::string text_or_empty(const Json& object, const char* member) {
  Result<std::optional<std::string>> text = json_optional_text(object, member, "a message of the agent");
  return text && *text ? **text : std::string();
}

class Progress {
 public:
  explicit Progress(Surroundings& surroundings) : surroundings_(surroundings) {}

  // One line a step, so that a terminal, a pipe and a log read the same.
  void tell(const Json& event) {
    const std::string certificate = text_or_empty(event, "certificate");
    const std::string step = text_or_empty(event, "name");
    (step == "waiting" ? awaited_ : last_) = text_or_empty(event, "sentence");
    print(certificate.empty() ? "-" : certificate, step, text_or_empty(event, "sentence"));
  }
  void still_waiting() {
    const std::string last = last_.empty() ? "" : "last: " + last_;
    print("-", "waiting",
          awaited_.empty() ? (last.empty() ? "for the agent, or the CA that it asks" : last)
                           : awaited_ + (last.empty() ? "" : "; " + last));
  }
  [[nodiscard]] const std::string& last() const { return last_; }

 private:
  void print(const std::string& certificate, const std::string& step, const std::string& sentence) {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begun_;
    surroundings_.err << std::left << std::setw(24) << printable(certificate) << "  " << std::setw(20) << printable(step)
                      << "  " << std::setw(8) << seconds_text(passed.count()) << "  " << printable(sentence) << "\n"
                      << std::flush;
  }

  Surroundings& surroundings_;
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  std::string last_;
  std::string awaited_;
};

Answer unreachable(const std::string& sentence, Answer so_far) {
  so_far.exit = exit_unreachable;
  so_far.message = sentence;
  return so_far;
}

Answer out_of_patience(const Json& request, const Progress& progress, bool accepted, std::chrono::seconds waited,
                       Answer so_far) {
  const std::string verb = text_or_empty(request, "verb");
  const std::string after = " after " + std::to_string(waited.count()) + " s";
  if (!accepted) {
    return unreachable("the agent has not answered" + after, std::move(so_far));
  }
  so_far.exit = exit_failed;
  so_far.message = verb + " is not done" + after + (progress.last().empty() ? "" : ", last: " + progress.last()) +
                   (verb == "import" ? "; what was taken over stays, and the same command goes on from there"
                                     : "; the agent goes on with it in the background, and evercert status tells what becomes "
                                       "of it (--timeout waits longer)");
  return so_far;
}

// The lead is a lock that only its holder can have; the socket may be anybody's who may write to state/.
std::string foreign_listener(const std::string& state_path, const ControlConnection::Listener& who,
                             const std::optional<Election::Holder>& holder) {
  const passwd* const entry = ::getpwuid(who.user);
  const std::string user = entry == nullptr ? std::to_string(who.user) : std::string(entry->pw_name);
  return "the socket " + control_socket_path(state_path) + " is answered by process " + std::to_string(who.pid) + " of user " +
         user + ", which is not the agent" + (holder ? " (" + words_for(holder->pid) + ")" : ": none leads") +
         "; nothing was asked of it: find out who started it and end it, " +
         (holder ? "the agent makes its socket anew within seconds" : "then start the server");
}

}  // namespace

Patience patience_of(const Request& request) {
  if (request.timeout) return {request.timeout, std::nullopt};
  if (request.verb == "import") return {std::nullopt, std::chrono::minutes(5)};
  return {};
}

std::string silent_agent(const std::string& who) {
  return who +
         " holds the lead and does not answer; it may be stopped or wait for its disk: if it stays so, end it, its server "
         "starts another";
}

Result<ControlConnection> reach_agent(const std::string& state_path, const Patience& patience) {
  Result<std::optional<SealKeys>> keys = keys_of(state_path);
  if (!keys) {
    const bool ours = ::geteuid() == 0 || keys.error().kind != ErrorKind::storage;
    return ours ? keys.error()
                : keys.error().with_prefix("only root, or the user that started the server, may ask the agent for this");
  }
  const std::string hint = "; is the server (or evercert run) that uses " + state_path +
                           " running? --state or --config name another state directory";
  if (!*keys) {
    return Error{ErrorKind::connection, "there is no seal.key in " + state_path + hint};
  }
  Result<ControlConnection> agent = ControlConnection::open(state_path, (**keys).agent);
  if (!agent) {
    return Error{ErrorKind::connection, agent.error().message + hint};
  }
  Result<bool> proved = agent->prove(patience.whole ? std::min(*patience.whole, agent_silence) : agent_silence);
  if (proved && *proved) {
    return agent;
  }
  std::optional<Election::Holder> holder;
  if (const auto found = holder_of_lead(state_path); found) holder = *found;
  if (const auto who = agent->listener(); who && who->pid > 0 && (!holder || (holder->pid > 0 && holder->pid != who->pid))) {
    return Error{ErrorKind::connection, foreign_listener(state_path, *who, holder)};
  }
  if (!proved) {
    return Error{ErrorKind::connection, control_socket_path(state_path) + ": " + proved.error().message +
                                            "; look at who may write to " + state_path +
                                            "/state, or restart the server if seal.key was exchanged"};
  }
  return Error{ErrorKind::connection, silent_agent(holder.has_value() ? words_for(holder->pid) : std::string("somebody"))};
}

Answer converse(ControlConnection& agent, const Json& request, Surroundings& surroundings, const Patience& patience) {
  Answer answer;
  if (Result<Done> sent = agent.send(request); !sent) {
    return unreachable(sent.error().message, std::move(answer));
  }
  Progress progress(surroundings);
  using Clock = std::chrono::steady_clock;
  const auto begun = Clock::now();
  auto lived = begun;  // when it last said anything, if only that it is not stuck
  auto heard = begun;
  auto told = begun;
  bool accepted = false;
  while (true) {
    auto end = Clock::time_point::max();
    if (patience.whole) end = begun + *patience.whole;
    if (patience.silence) end = std::min(end, heard + *patience.silence);
    const auto now = Clock::now();
    if (now >= end) {
      return out_of_patience(request, progress, accepted, std::chrono::round<std::chrono::seconds>(now - begun),
                             std::move(answer));
    }
    if (now - lived >= agent_silence) {
      return unreachable(silent_agent("process " + std::to_string(agent.agent_pid())), std::move(answer));
    }
    if (now - told >= 10s) {
      progress.still_waiting();
      told = now;
    }
    const auto next = std::min({end, lived + agent_silence, told + 10s});
    if (!agent.ready(std::chrono::ceil<std::chrono::milliseconds>(next - now))) {
      continue;
    }
    lived = Clock::now();
    Result<std::optional<Json>> message = agent.receive(10s);
    if (!message) {
      return unreachable(message.error().message, std::move(answer));
    }
    if (!*message) {
      return unreachable("the agent went away before it was done; what it has begun is carried on when it is back",
                         std::move(answer));
    }
    const Json& object = **message;
    if (!object.is_object() || object.contains("alive")) {
      continue;
    }
    accepted = true;
    heard = told = lived;
    if (const auto event = object.find("event"); event != object.end()) {
      progress.tell(*event);
      answer.events.push_back(*event);
    } else if (object.contains("done")) {
      Result<std::int64_t> exit = json_number(object, "exit", "the agent's answer");
      answer.exit = exit ? static_cast<int>(std::clamp<std::int64_t>(*exit, exit_done, exit_unreachable)) : exit_failed;
      answer.message = text_or_empty(object, "message");
      return answer;
    }
  }
}

int conclude(const Answer& answer, const Request& request, Surroundings& surroundings) {
  if (request.json) {
    surroundings.out << printable_json(dump_json(
                            Json{{"format", 1}, {"exit", answer.exit}, {"message", answer.message}, {"events", answer.events}}))
                     << "\n";
    return answer.exit;
  }
  if (!answer.message.empty()) {
    (answer.exit == exit_done ? surroundings.out : surroundings.err) << printable(answer.message) << "\n";
  }
  return answer.exit;
}

}  // namespace evercert
