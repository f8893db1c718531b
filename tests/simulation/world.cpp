#include "simulation/world.h"

#include <sys/mman.h>

#include <algorithm>

namespace evercert::simulation {
namespace {

constexpr int most_nested = 3;
// Steps at one moment; more are a loop without a pause.
constexpr unsigned most_steps_at_once = 5000;

}  // namespace

World::World(std::uint64_t seed, bool told)
    : seed_(seed),
      dice_(seed),
      clock_(times_),
      history_(times_, told),
      medium_(times_, {[this](Medium::Deed deed, const std::string& key) { return before_deed(deed, key); },
                       [this](Medium::Deed, const std::string&) { point("after"); }}),
      rules_(*this),
      end_(times_.now + simulated),
      next_chores_(times_.now) {
  choose();
}

World::~World() {
  for (auto& host : hosts_) host->end();
}

// --- points ---

void World::point(const char* where) {
  if (running_.empty()) return;
  Host& host = *running_.back();
  if (fatal_in_ > 0 && --fatal_in_ == 0 && !calm_) {
    history_.add(host.name, power_fails_ ? "loses its power" : "is killed", [&] { return std::string(where); });
    if (power_fails_)
      for (auto& each : hosts_)
        if (each->process) each->process->doomed = true;
    // A pause survives a killed process, not a power cut.
    if (power_fails_) rules_.pauses_are_lost();
    rules_.killed();
    host.process->doomed = true;
  }
  if (host.process->doomed) throw Killed{};
}

std::optional<Error> World::before_deed(Medium::Deed deed, const std::string& key) {
  if (deed == Medium::Deed::read) return std::nullopt;
  point("before");
  if (disk_full_ || (disk_fails_ > 0 && dice_.once_in(disk_fails_))) {
    history_.add("the disk", "is full", [&] { return key; });
    rules_.pauses_are_lost();
    return Error{ErrorKind::storage, "cannot write " + key + ": no space left on device"};
  }
  return std::nullopt;
}

void World::on_wire(const std::string& action, bool after) {
  point(after ? "before an answer is read" : "before a request leaves");
  pass(dice_.once_in(20) ? dice_.between(milliseconds(500), seconds(40)) : milliseconds(5 + dice_.below(200)));
  if (!calm_ && running_.size() == 1) {
    if (!after && action == "place") {
      if (troubles_.weather && dice_.once_in(3)) bad_weather();
      if (troubles_.full_disks && dice_.once_in(6)) fill_the_disk();
    }
    if (troubles_.clock_jumps && dice_.once_in(60)) turn_the_clock();
    if (troubles_.freezes && dice_.once_in(60)) {
      const auto span = dice_.between(seconds(10), day * 2);
      history_.add(running_.back()->name, "stands still", [&] { return "for " + std::to_string(span.count() / 1000) + " s"; });
      pass(span);
    }
  }
  if (running_.size() < most_nested && dice_.once_in(4)) meanwhile();
  point(after ? "after an answer came" : "after a request left");
}

// Other threads of the process, and the rest of the world, while a step waits for an answer.
void World::meanwhile() {
  run_events();
  Host& host = *running_.back();
  if (host.process->doomed) return;
  host.process->look_at_the_clock(false);
  if (troubles_.verbs && !calm_ && dice_.once_in(12)) operate();
  for (std::size_t steps = dice_.below(6); steps > 0 && host.process->ready(); --steps) {
    running_.push_back(&host);
    try {
      host.process->run_one();
    } catch (...) {
      running_.pop_back();
      throw;
    }
    running_.pop_back();
    rules_.after_step(host);
  }
}

// --- processes ---

void World::begin(Host& host) {
  history_.add(host.name, "starts its agent");
  host.start();
  host.frozen_until.reset();
  running_.push_back(&host);
  try {
    host.lead();
  } catch (const Killed&) {
    host.process->doomed = true;
  }
  running_.pop_back();
  if (host.process->doomed) end(host);
}

void World::end(Host& host) {
  host.end();
  medium_.leave_unfinished();
  if (std::exchange(power_fails_, false)) medium_.lose_unsynced([this] { return dice_.once_in(2); });
  at(times_.now + dice_.between(seconds(1), dice_.once_in(4) ? day * 4 : minutes(2)), [this, &host] {
    if (!host.process) begin(host);
  });
}

void World::run_host(Host& host) {
  running_.push_back(&host);
  unsigned steps = 0;
  Time before = times_.now;
  try {
    while (host.process->ready()) {
      host.process->run_one();
      rules_.after_step(host);
      if (host.process->doomed) throw Killed{};
      host.process->look_at_the_clock(false);
      if (times_.now != before) steps = 0;
      before = times_.now;
      if (++steps > most_steps_at_once) throw Broken("the agent of " + host.name + " runs in a circle without a pause");
    }
  } catch (const Killed&) {
    host.process->doomed = true;
  } catch (...) {
    running_.pop_back();
    throw;
  }
  running_.pop_back();
  if (host.process->doomed) return end(host);
  // A turned clock is seen by its workers within ten seconds.
  if (times_.now - clock_turned_at_ > seconds(15)) rules_.at_rest(host);
}

// --- time ---

Time World::next_wake() const {
  Time first = std::min(end_, next_chores_);
  if (!events_.empty()) first = std::min(first, events_.begin()->first);
  for (const auto& host : hosts_) {
    if (!host->process || host->frozen_until) continue;
    const auto next = host->process->next(times_);
    if (next) first = std::min(first, *next);
  }
  return std::max(first, times_.now);
}

void World::run_events() {
  while (!events_.empty() && events_.begin()->first <= times_.now) {
    auto what = std::move(events_.begin()->second);
    events_.erase(events_.begin());
    what();
  }
}

void World::run() {
  for (auto& host : hosts_) begin(*host);
  while (times_.now < end_) {
    times_.now = std::max(times_.now, next_wake());
    run_events();
    const bool chores = times_.now >= next_chores_;
    if (chores) next_chores_ = times_.now + chores_every_;
    for (auto& host : hosts_) {
      if (!host->process || host->frozen_until) continue;
      host->process->look_at_the_clock(chores);
      if (host->process->ready()) run_host(*host);
    }
  }
  // What is looked after now and then is looked after once more.
  for (auto& host : hosts_) {
    if (!host->process) continue;
    host->process->look_at_the_clock(true);
    run_host(*host);
  }
  rules_.at_the_end();
}

}  // namespace evercert::simulation
