// Events: facts in the past tense, as data. Log, audit trail, status, metrics and the command line's progress all live on
// them; nothing else reports anything.
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "evercert/log.h"
#include "evercert/result.h"

namespace evercert {

struct Event {
  // Names: agent_started, agent_leads, agent_handed_over, order_placed, challenge_presented, challenge_seen, order_ready,
  // finalized, issued, published, served, not_served, renewal_failed, renewal_scheduled, expiring, expired, action_required,
  // account_created, account_lost, bundle_damaged, rolled_back, imported, revoked, issuer_unreachable, issuer_back,
  // order_forgotten, order_given_up, contacts_changed, contacts_not_changed, handed_over, not_taken, exported, export_failed,
  // told_to_hook, hook_failed, revoked_served, revocation_not_noted, order_cancelled, order_not_cancelled, cancel_too_late,
  // cancellation_requested, revocation_requested, revocation_refused, request_unanswered, order_moved,
  // challenges_failed; of Alarms: failing, late, held, recovered.
  std::string name;
  LogLevel level = LogLevel::info;
  std::chrono::system_clock::time_point at;
  std::string certificate;                                  // or empty
  std::string issuer;                                       // or empty
  std::string sentence;                                     // for a person
  std::vector<std::pair<std::string, std::string>> fields;  // for programs: generation, order, key, retry_at, kind, seconds …
};

class Events {
 public:
  using Listener = std::function<void(const Event&)>;
  // Before threads start; listeners are called one at a time, on the thread that tells, and must be quick.
  void subscribe(Listener listener);
  // The server whose configuration sentences speak of: options are told as it spells them. Before threads start.
  void speak_to(std::string server) { server_ = std::move(server); }
  // Fills in `at` when it is unset; sentence and fields become printable text of bounded length.
  void tell(Event event);

 private:
  std::mutex mutex_;
  std::vector<Listener> listeners_;
  std::string server_;
};

}  // namespace evercert
