#include "cli/conversation.h"

#include <algorithm>
#include <iomanip>
#include <ostream>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "serving/base/json.h"

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
          awaited_.empty() ? (last.empty() ? "for the agent" : last) : awaited_ + (last.empty() ? "" : "; " + last));
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
    return unreachable("the agent has not answered" + after +
                           "; it may be stopped or wait for its disk: if it stays so, end it, its server starts another",
                       std::move(so_far));
  }
  so_far.exit = exit_failed;
  so_far.message = verb + " is not done" + after + (progress.last().empty() ? "" : ", last: " + progress.last()) +
                   (verb == "import" ? "; what was taken over stays, and the same command goes on from there"
                                     : "; the agent goes on with it in the background, and evercert status tells what becomes "
                                       "of it (--timeout waits longer)");
  return so_far;
}

}  // namespace

Patience patience_of(const Request& request) {
  if (request.timeout) return {request.timeout, std::nullopt};
  if (request.verb == "import") return {std::nullopt, std::chrono::minutes(5)};
  return {};
}

Answer converse(ControlConnection& agent, const Json& request, Surroundings& surroundings, const Patience& patience) {
  Answer answer;
  if (Result<Done> sent = agent.send(request); !sent) {
    return unreachable(sent.error().message, std::move(answer));
  }
  Progress progress(surroundings);
  using Clock = std::chrono::steady_clock;
  const auto begun = Clock::now();
  auto heard = begun;
  bool accepted = false;
  while (true) {
    auto end = Clock::time_point::max();
    if (patience.whole) end = begun + *patience.whole;
    if (patience.silence) end = std::min(end, heard + *patience.silence);
    const auto pause = std::min<Clock::duration>(10s, end - Clock::now());
    if (!agent.ready(std::chrono::ceil<std::chrono::milliseconds>(std::max(pause, Clock::duration::zero())))) {
      if (Clock::now() >= end) {
        const auto waited = std::chrono::round<std::chrono::seconds>(Clock::now() - begun);
        return out_of_patience(request, progress, accepted, waited, std::move(answer));
      }
      progress.still_waiting();
      continue;
    }
    heard = Clock::now();
    accepted = true;
    Result<std::optional<Json>> message = agent.receive(10s);
    if (!message) {
      return unreachable(message.error().message, std::move(answer));
    }
    if (!*message) {
      return unreachable("the agent went away before it was done; what it has begun is carried on when it is back",
                         std::move(answer));
    }
    const Json& object = **message;
    if (!object.is_object()) {
      continue;
    }
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
    surroundings.out << dump_json(
                            Json{{"format", 1}, {"exit", answer.exit}, {"message", answer.message}, {"events", answer.events}})
                     << "\n";
    return answer.exit;
  }
  if (!answer.message.empty()) {
    (answer.exit == exit_done ? surroundings.out : surroundings.err) << printable(answer.message) << "\n";
  }
  return answer.exit;
}

int nobody_answers(const std::string& state_path, const Error& error, Surroundings& surroundings) {
  surroundings.err << printable(error.message) << "\nis the server (or evercert run) that uses " << printable(state_path)
                   << " running? --state or --config name another state directory\n";
  return exit_unreachable;
}

}  // namespace evercert
