#include "agent/renewal/workers.h"

namespace evercert {
namespace {

// A clock that runs is looked at again before this has passed.
constexpr std::chrono::seconds turned_back{1};

}  // namespace

void JobTable::take_out(const std::string& name, const Job& job) {
  if (job.due) later_.erase({*job.due, name});
  due_.erase({job.urgency, name});
}

void JobTable::line_up(const std::string& name, Job& job, Time now) {
  take_out(name, job);
  if (job.running || job.removed) return;
  if (job.poked || (job.due && *job.due <= now)) {
    due_.emplace(job.urgency, name);
  } else if (job.due) {
    later_.emplace(*job.due, name);
  }
}

void JobTable::add(const std::string& name, double urgency, std::optional<Time> due, Workers::Step step, Time now) {
  Job& job = jobs_[name];
  take_out(name, job);
  job.urgency = urgency;
  job.due = due;
  job.step = std::move(step);
  job.removed = false;
  line_up(name, job, now);
}

void JobTable::remove(const std::string& name) {
  const auto found = jobs_.find(name);
  if (found == jobs_.end()) return;
  Job& job = found->second;
  take_out(name, job);
  job.removed = true;
  if (!job.running) jobs_.erase(found);
}

void JobTable::poke(const std::string& name, Time now) {
  const auto found = jobs_.find(name);
  if (found == jobs_.end()) return;
  found->second.poked = true;
  line_up(name, found->second, now);
}

void JobTable::poke_each(Time now) {
  for (auto& [name, job] : jobs_) {
    job.poked = true;
    line_up(name, job, now);
  }
}

void JobTable::look_at_the_clock(Time now) {
  if (looked_at_ && now + turned_back < *looked_at_) poke_each(now);
  looked_at_ = now;
  while (!later_.empty() && later_.begin()->first <= now) {
    const std::string name = later_.begin()->second;
    later_.erase(later_.begin());
    line_up(name, jobs_.at(name), now);
  }
}

std::optional<Time> JobTable::next() const {
  return later_.empty() ? std::nullopt : std::optional(later_.begin()->first);
}

JobTable::Begun JobTable::begin() {
  const std::string name = due_.begin()->second;
  due_.erase(due_.begin());
  Job& job = jobs_.at(name);
  job.poked = false;
  job.due.reset();
  job.running = true;
  ++running_;
  return {name, job.step};
}

void JobTable::finish(const std::string& name, const Workers::Again& again, Time now) {
  --running_;
  const auto found = jobs_.find(name);
  if (found == jobs_.end()) return;
  Job& job = found->second;
  job.running = false;
  // What was added during the step is a job of its own, which the end of this one does not end.
  if (job.removed || (again.gone && !job.due)) {
    jobs_.erase(found);
    return;
  }
  if (again.urgency) job.urgency = *again.urgency;
  // add() during the step may have set a due time of its own: the earlier one holds.
  if (again.at && (!job.due || *again.at < *job.due)) job.due = again.at;
  line_up(name, job, now);
}

}  // namespace evercert
