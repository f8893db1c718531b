#include "simulation/executor.h"

#include <algorithm>

namespace evercert::simulation {
namespace {

// Leader and follower give what is no renewal, proof or request this urgency, or a larger one.
constexpr double first_chore = 2;

}  // namespace

void SimulatedWorkers::add(const std::string& name, double urgency, std::optional<Time> due, Step step) {
  if (urgency >= first_chore) chore_names_.insert(name);
  planned_[name] = due;
  table_of(name).add(name, urgency, due, std::move(step), times_.machine());
}

void SimulatedWorkers::remove(const std::string& name) {
  planned_.erase(name);
  table_of(name).remove(name);
}

void SimulatedWorkers::poke(const std::string& name) {
  table_of(name).poke(name, times_.machine());
}

bool SimulatedWorkers::pause(std::chrono::milliseconds) {
  paused_ = true;
  return idle();
}

std::optional<Time> SimulatedWorkers::next() const {
  return stopped_ || paused_ ? std::nullopt : jobs_.next();
}

void SimulatedWorkers::look_at_the_clock(bool chores_too) {
  jobs_.look_at_the_clock(times_.machine());
  if (chores_too) chores_.look_at_the_clock(times_.machine());
}

std::string SimulatedWorkers::run_one() {
  JobTable& table = jobs_.ready() > 0 ? jobs_ : chores_;
  auto [name, step] = table.begin();
  planned_[name].reset();
  const Again again = step();
  step = nullptr;
  // Added anew during its step, or removed: that holds.
  if (const auto planned = planned_.find(name); planned != planned_.end() && !planned->second) {
    if (again.gone)
      planned_.erase(planned);
    else
      planned->second = again.at;
  }
  table.finish(name, again, times_.machine());
  return name;
}

std::optional<Time> SimulatedWorkers::due_of(const std::string& name) const {
  const auto found = planned_.find(name);
  return found == planned_.end() ? std::nullopt : found->second;
}

std::optional<Time> SimulatedLoop::next() const {
  if (!posted_.empty()) return times_.now;
  return timers_.empty() ? std::nullopt : std::optional(timers_.begin()->first);
}

void SimulatedLoop::run_one() {
  std::function<void()> action;
  if (!posted_.empty()) {
    action = std::move(posted_.front());
    posted_.pop_front();
  } else {
    action = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
  }
  action();
}

}  // namespace evercert::simulation
