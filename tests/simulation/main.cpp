// evercert_simulation: runs seeds, each a world of 400 days.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "simulation/world.h"

namespace evercert::simulation {
namespace {

struct Options {
  std::uint64_t first = 1;
  std::uint64_t count = 20000;
  unsigned jobs = 2;
  unsigned seconds = 0;  // no other seed begins after this; 0: all are run
  bool told = false;
};

// Nothing when all rules held.
std::string outcome_of(World& world) {
  try {
    world.run();
    return "";
  } catch (const Broken& broken) {
    return broken.what();
  } catch (const std::exception& failure) {
    return std::string("an exception left the agent: ") + failure.what();
  }
}

// The history of a seed, which is made only when somebody reads it.
int tell(std::uint64_t seed) {
  World world(seed, true);
  const std::string broken = outcome_of(world);
  for (const auto& line : world.history().lines()) std::printf("%s\n", line.c_str());
  std::printf("seed %llu: %s (sum %016llx)\n", static_cast<unsigned long long>(seed),
              broken.empty() ? "every rule held" : broken.c_str(), static_cast<unsigned long long>(world.history().sum()));
  return broken.empty() ? 0 : 1;
}

using Steady = std::chrono::steady_clock;

// Every `step`th seed; the first that breaks a rule ends it. Writes how many there were to `counts`.
int run(std::uint64_t first, std::uint64_t end, std::uint64_t step, Steady::time_point until, int counts) {
  std::uint64_t done = 0;
  for (std::uint64_t seed = first; seed < end && Steady::now() < until; seed += step, ++done) {
    World world(seed, false);
    const std::string broken = outcome_of(world);
    if (broken.empty()) continue;
    World again(seed, false);
    static_cast<void>(outcome_of(again));
    std::printf("seed %llu: %s%s\n", static_cast<unsigned long long>(seed), broken.c_str(),
                again.history().sum() == world.history().sum() ? "" : " (and the seed does not replay)");
    std::fflush(stdout);
    return 1;
  }
  return ::write(counts, &done, sizeof done) == sizeof done ? 0 : 1;
}

int run_all(const Options& options) {
  static_cast<void>(KeyPool::of_process());
  const auto begun = Steady::now();
  const auto until = options.seconds == 0 ? Steady::time_point::max() : begun + std::chrono::seconds(options.seconds);
  int counts[2];
  if (pipe(counts) != 0) return 1;
  std::vector<pid_t> children;
  for (unsigned job = 0; job < options.jobs; ++job) {
    const pid_t child = fork();
    if (child == 0) _exit(run(options.first + job, options.first + options.count, options.jobs, until, counts[1]));
    children.push_back(child);
  }
  bool failed = false;
  close(counts[1]);
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) std::printf("a process that ran seeds was ended by signal %d\n", WTERMSIG(status));
    failed = failed || status != 0;
  }
  const std::chrono::duration<double> took = Steady::now() - begun;
  std::uint64_t seeds = 0;
  for (std::uint64_t count = 0; ::read(counts[0], &count, sizeof count) == sizeof count;) seeds += count;
  const double days = static_cast<double>(seeds) * static_cast<double>(simulated / day);
  if (!failed)
    std::printf("%llu seeds of %d days: every rule held; %.1f s, %.0f simulated days a second\n",
                static_cast<unsigned long long>(seeds), static_cast<int>(simulated / day), took.count(), days / took.count());
  return failed ? 1 : 0;
}

}  // namespace
}  // namespace evercert::simulation

int main(int count, char** words) {
  using namespace evercert::simulation;
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    const auto number = [&]() -> std::uint64_t { return i + 1 < count ? std::strtoull(words[++i], nullptr, 10) : 0; };
    if (word == "--seed") return tell(number());
    if (word == "--first") {
      options.first = number();
    } else if (word == "--seeds") {
      options.count = number();
    } else if (word == "--seconds") {
      options.seconds = static_cast<unsigned>(number());
    } else if (word == "--jobs") {
      options.jobs = static_cast<unsigned>(number());
    } else {
      std::fprintf(stderr, "usage: evercert_simulation [--seed N] [--first N] [--seeds N] [--seconds N] [--jobs N]\n");
      return 2;
    }
  }
  return run_all(options);
}
