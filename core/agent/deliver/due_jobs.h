// Jobs by the name of their certificate, each with the time from which it is due: given by any thread, taken by one.
// Thread-safe.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <utility>

namespace evercert {

// Job: has a member `due`, a point of the steady clock; the default is at once.
template <typename Job>
class DueJobs {
 public:
  using Jobs = std::map<std::string, Job>;

  // Changes the job of this name; a new one when there is none yet. Nobody takes it meanwhile.
  template <typename Change>
  void change(const std::string& name, const Change& change) {
    const std::lock_guard lock(mutex_);
    change(jobs_[name]);
    changed_.notify_all();
  }
  // A job that is to be tried again. Where another has been given meanwhile that one stays, and `join` tells it of this.
  template <typename Join>
  void put_back(const std::string& name, Job job, const Join& join) {
    const std::lock_guard lock(mutex_);
    const auto [place, alone] = jobs_.try_emplace(name, std::move(job));
    if (!alone) join(place->second, job);
  }
  // All that are due; waits for the first. Empty: it is time to end.
  Jobs next(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    for (;;) {
      const auto now = std::chrono::steady_clock::now();
      auto first = now + std::chrono::hours(24);
      Jobs due;
      for (auto job = jobs_.begin(); job != jobs_.end();) {
        if (job->second.due <= now) {
          due.insert(jobs_.extract(job++));
        } else {
          first = std::min(first, job->second.due);
          ++job;
        }
      }
      if (!due.empty() || stop.stop_requested()) return due;
      changed_.wait_until(lock, stop, first, [&] {
        return std::any_of(jobs_.begin(), jobs_.end(), [&](const auto& job) { return job.second.due < first; });
      });
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  Jobs jobs_;
};

}  // namespace evercert
