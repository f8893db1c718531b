#include "agent/run/keeper.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <string_view>
#include <utility>

#include "agent/run/inheritance.h"
#include "evercert/launch.h"
#include "serving/launch/carried_format.h"

namespace evercert {
namespace {

constexpr int tend_interval = 5000;

enum class WordOfServer { nothing, go, gone };

WordOfServer hear(int channel) {
  std::array<char, 256> text;
  for (;;) {
    const ssize_t size = ::recv(channel, text.data(), text.size(), MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return WordOfServer::nothing;
    if (size <= 0) return WordOfServer::gone;
    if (std::string_view(text.data(), static_cast<std::size_t>(size)) == go_message) return WordOfServer::go;
  }
}

int keep(int descriptor, const std::string& program) {
  auto inherited = receive_inheritance(descriptor);
  if (!inherited) return inherited.error().kind == ErrorKind::connection ? 0 : 1;
  ChannelLogger log(inherited->channel.get());
  Instance instance;
  instance.id = inherited->instance;
  instance.board = std::move(inherited->board);
  instance.report = std::move(inherited->report);
  instance.wake = std::move(inherited->wake);
  instance.link = std::move(inherited->link);
  Cycle cycle;
  cycle.plan = std::move(inherited->plan);
  cycle.secrets = std::move(inherited->secrets);
  cycle.leader = std::move(inherited->leader);
  Supervisor supervisor({.path = program, .joins_session = true}, instance, cycle, log);

  bool going = false;
  using Clock = std::chrono::steady_clock;
  constexpr auto unset = Clock::time_point::max();
  auto again = unset;
  const auto start = [&] { again = supervisor.start() ? unset : Clock::now() + supervisor.restart_delay(); };
  for (;;) {
    std::array<pollfd, 2> watched{pollfd{inherited->channel.get(), POLLIN, 0}, pollfd{supervisor.descriptor(), POLLIN, 0}};
    int wait = going ? tend_interval : -1;
    if (again != unset) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(again - Clock::now()).count();
      wait = static_cast<int>(std::max<std::int64_t>(left, 0));
    }
    ::poll(watched.data(), watched.size(), wait);
    const WordOfServer heard = hear(inherited->channel.get());
    if (heard == WordOfServer::gone) return 0;
    if (heard == WordOfServer::go && !std::exchange(going, true)) start();
    if (!going) continue;
    if (again != unset) {
      if (Clock::now() >= again) start();
      continue;
    }
    const bool lost = supervisor.on_readable() == Supervisor::State::gone || supervisor.tend() == Supervisor::State::gone;
    if (lost) again = Clock::now() + supervisor.restart_delay();
  }
}

}  // namespace

int run_keeper(int descriptor, const std::string& program) {
  static_cast<void>(signal(SIGPIPE, SIG_IGN));
  return at_boundary(
      1, [&] { return keep(descriptor, program); }, [](const std::string&) {});
}

}  // namespace evercert
