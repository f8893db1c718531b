#include "agent/renewal/workers.h"

#include <algorithm>

namespace evercert {
namespace {

// A clock that runs is looked at again before this has passed.
constexpr std::chrono::seconds turned_back{1};

}  // namespace

std::size_t JobTable::room(const std::string& name, const Group& group) const {
  if (name.empty()) return group.due.size();
  const std::size_t others = grouped_ - group.running;
  const std::size_t left = threads_ > others ? threads_ - others : 0;
  // The only thread there is belongs to all.
  const std::size_t most = threads_ == 1 ? left : left / 2;
  return most > group.running ? most - group.running : 0;
}

std::size_t JobTable::ready() const {
  std::size_t sum = 0;
  for (const auto& [name, group] : groups_) sum += std::min(group.due.size(), room(name, group));
  return sum;
}

void JobTable::take_out(const std::string& name, const Job& job) {
  if (job.due) later_.erase({*job.due, name});
  const auto group = groups_.find(job.group);
  if (group == groups_.end()) return;
  group->second.due.erase({job.urgency, name});
  if (group->second.due.empty() && group->second.running == 0) groups_.erase(group);
}

void JobTable::line_up(const std::string& name, Job& job, Time now) {
  take_out(name, job);
  // Whatever a step was told by a clock that was ahead for its length only, the next look finds it turned back.
  if (!looked_at_ || now > *looked_at_) looked_at_ = now;
  if (job.running || job.removed) return;
  if (job.poked || (job.due && *job.due <= now)) {
    groups_[job.group].due.emplace(job.urgency, name);
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
  auto first = groups_.end();
  for (auto one = groups_.begin(); one != groups_.end(); ++one) {
    if (one->second.due.empty() || room(one->first, one->second) == 0) continue;
    if (first == groups_.end() || *one->second.due.begin() < *first->second.due.begin()) first = one;
  }
  const std::string name = first->second.due.begin()->second;
  first->second.due.erase(first->second.due.begin());
  ++first->second.running;
  if (!first->first.empty()) ++grouped_;
  Job& job = jobs_.at(name);
  job.running_in = first->first;
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
  const auto group = groups_.find(job.running_in);
  if (!group->first.empty()) --grouped_;
  if (--group->second.running == 0 && group->second.due.empty()) groups_.erase(group);
  // What was added during the step is a job of its own, which the end of this one does not end.
  if (job.removed || (again.gone && !job.due)) {
    jobs_.erase(found);
    return;
  }
  if (again.urgency) job.urgency = *again.urgency;
  if (again.group) job.group = *again.group;
  // add() during the step may have set a due time of its own: the earlier one holds.
  if (again.at && (!job.due || *again.at < *job.due)) job.due = again.at;
  line_up(name, job, now);
}

}  // namespace evercert
