#include "agent/observe/alarms.h"

#include "agent/observe/status_report.h"

namespace evercert {

void Alarms::stands(const Alarm& alarm, bool told) {
  const auto now = clock_.now();
  Standing standing;
  {
    const std::lock_guard lock(mutex_);
    const auto [place, begins] = standing_.try_emplace({alarm.certificate, alarm.what}, Standing{now, now, alarm.issuer});
    // A clock that was turned back must not silence it for years.
    const bool due = now - place->second.told >= between_reminders || now < place->second.told;
    if (begins ? told : !due) return;
    place->second.told = now;
    standing = place->second;
  }
  tell(alarm.what, alarm, standing.since);
}

void Alarms::over(const std::string& certificate, const std::string& what, const std::string& sentence) {
  Standing standing;
  {
    const std::lock_guard lock(mutex_);
    const auto found = standing_.find({certificate, what});
    if (found == standing_.end()) return;
    standing = found->second;
    standing_.erase(found);
  }
  tell("recovered", {certificate, standing.issuer, what, sentence}, standing.since);
}

void Alarms::forget(const std::string& certificate) {
  const std::lock_guard lock(mutex_);
  std::erase_if(standing_, [&](const auto& entry) { return entry.first.first == certificate; });
}

void Alarms::tell(const std::string& name, const Alarm& alarm, std::chrono::system_clock::time_point since) {
  Event event;
  event.name = name;
  event.level = LogLevel::error;
  event.at = clock_.now();
  event.certificate = alarm.certificate;
  event.issuer = alarm.issuer;
  event.sentence = alarm.sentence;
  event.fields = {{"what", alarm.what}, {"since", to_rfc3339(since)}};
  events_.tell(std::move(event));
}

}  // namespace evercert
