// What must not be overheard. Something that is wrong with a certificate is told at level error when it begins, again each day
// while it lasts, and once when it is over, so that a log that shows errors only shows both. What makes it wrong is the
// caller's to know; an agent that is started anew tells what stands once more.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "agent/observe/event.h"
#include "serving/base/clock.h"

namespace evercert {

class Alarms {
 public:
  static constexpr std::chrono::hours between_reminders{24};

  Alarms(Events& events, const Clock& clock) : events_(events), clock_(clock) {}

  struct Alarm {
    std::string certificate;
    std::string issuer;  // or empty
    // The event's name, and what over() ends: failing, late, expiring, expired, not_served, held, older_generation.
    std::string what;
    std::string sentence;
  };
  // To be called as often as one likes while it is so. `told`: another event has just said it, so the first telling is due
  // tomorrow. From any thread.
  void stands(const Alarm& alarm, bool told = false);
  // Tells `sentence` if it stood.
  void over(const std::string& certificate, const std::string& what, const std::string& sentence);
  // The certificate is none of ours any more.
  void forget(const std::string& certificate);

 private:
  void tell(const std::string& name, const Alarm& alarm, std::chrono::system_clock::time_point since);

  struct Standing {
    std::chrono::system_clock::time_point since;
    std::chrono::system_clock::time_point told;
    std::string issuer;
  };
  Events& events_;
  const Clock& clock_;
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, Standing> standing_;
};

}  // namespace evercert
