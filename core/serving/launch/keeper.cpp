// The starter's side of a keeper.
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include "evercert/launch.h"
#include "serving/base/json.h"
#include "serving/launch/hand_over.h"
#include "serving/launch/told.h"
#include "serving/platform/inspect.h"
#include "serving/platform/spawn.h"

namespace evercert {

namespace {

Error not_started(const std::string& program, const std::string& why) {
  return {ErrorKind::internal, "the agent cannot be started: " + why + "; see that the program " + program +
                                   " is installed and may be executed (option program)"};
}

Result<Json> first_message(int channel, std::chrono::milliseconds within) {
  const auto deadline = std::chrono::steady_clock::now() + within;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0)
      return Error{ErrorKind::internal, "it did not become ready within " + std::to_string(within.count()) + " ms"};
    pollfd readable{channel, POLLIN, 0};
    if (::poll(&readable, 1, static_cast<int>(left)) <= 0) continue;
    std::array<char, 4096> text;
    const ssize_t size = ::recv(channel, text.data(), text.size(), MSG_DONTWAIT);
    if (size < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (size <= 0) return Error{ErrorKind::internal, "it ended before it was ready"};
    return parse_json({text.data(), static_cast<std::size_t>(size)}, "its first message");
  }
}

}  // namespace

Result<Keeper> start_keeper(const Supervisor::Program& program, const Instance& instance, const Cycle& cycle) {
  // What the keeper executes is what it is itself, which nobody but root may read.
  const std::string kept = program.hidden ? "/proc/self/exe" : program.path;
  auto spawned = spawn_detached(program, {"keep", "--descriptor", std::to_string(channel_number), "--program", kept});
  if (!spawned) return spawned.error();
  const auto message = first_message(spawned->channel.get(), program.ready_within);
  if (!message) return not_started(program.path, message.error().message);
  if (!message->contains("ready")) {
    const auto step = json_text(*message, "failed", "a message");
    const auto code = json_number(*message, "errno", "a message");
    if (!step || !code) return not_started(program.path, "it is of another release");
    return Error{ErrorKind::internal,
                 "the agent cannot be started: " + why_not_started(*step, static_cast<int>(*code), program.path)};
  }
  if (auto safe = check_protected(spawned->pid); !safe)
    return not_started(program.path, "it gets no secrets: " + safe.error().message);
  if (auto handed = hand_over(spawned->channel.get(), instance, cycle); !handed) return handed.error();
  return Keeper{spawned->pid, std::move(spawned->channel)};
}

}  // namespace evercert
