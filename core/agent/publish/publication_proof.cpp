// What follows a publication: files and workers get the generation, the listeners are asked for it, the hook is told.
#include <algorithm>

#include "agent/observe/remedies.h"
#include "agent/publish/listener_proof.h"
#include "agent/publish/publication.h"
#include "serving/base/bounds.h"
#include "serving/base/encoding.h"

namespace evercert {
namespace {

// A listener of the same machine answers in milliseconds; one that is busy gets the benefit of the doubt until the alarm.
constexpr std::chrono::milliseconds until_alarm{2000};
constexpr std::chrono::milliseconds one_probe{1000};

bool is_proved(const CertificateSpec& certificate) {
  return certificate.proof && !certificate.proof_addresses.empty();
}

// What an event of this name says of a generation.
const char* words_for(std::string_view event) {
  return event == "exported" ? "is exported" : event == "told_to_hook" ? "was told to the hook" : "was taken by the server";
}

}  // namespace

// The alarm is not raised before all addresses at which a listener for every address may be reached were asked: a server may
// have another block, with another certificate, at the first one.
Publication::Heard Publication::ask_listeners(const CertificateSpec& certificate, const std::vector<Current::Pair>& pairs,
                                              bool everywhere) {
  Heard heard;
  const std::string& name = certificate.identifiers.front().value;
  for (const auto& listener : certificate.proof_addresses) {
    ProofAddress address = listener;
    {
      const std::lock_guard lock(mutex_);
      if (const auto known = reached_at_.find(listener.text()); known != reached_at_.end()) address = known->second;
    }
    const auto ask_for_all = [&](const ProofAddress& where) -> std::string {
      for (const auto& pair : pairs) {
        auto outcome = parts_.prove(where, name, pair.key.algorithm, pair.leaf_sha256, one_probe);
        if (!outcome || !outcome->served) return outcome ? outcome->message : outcome.error().message;
      }
      return "";
    };
    const auto begun = std::chrono::steady_clock::now();
    heard.complaint = ask_for_all(address);
    // What does not answer in time would not do so elsewhere: it is the same machine.
    const bool answers = std::chrono::steady_clock::now() - begun < one_probe;
    if (!heard.complaint.empty() && everywhere && listener.every && answers) {
      auto others = other_addresses(listener);
      if (address != listener) others.insert(others.begin(), listener);
      for (const auto& other : others) {
        if (!ask_for_all(other).empty()) continue;
        heard.complaint.clear();
        address = other;
        const std::lock_guard lock(mutex_);
        reached_at_[listener.text()] = other;
        break;
      }
    }
    if (!heard.complaint.empty()) return heard;
    if (heard.listener.empty()) heard.listener = address.text();
  }
  return heard;
}

void Publication::show(const CertificateSpec& certificate, const Bundle& bundle, bool fresh) {
  const Shown shown{certificate, bundle.generation, fresh};
  if (fresh) {
    const std::lock_guard lock(mutex_);
    entries_.at(certificate.name)->current.untold = true;
  }
  const auto then = [this, shown](void (Publication::*what)(const Shown&, const Result<Done>&)) {
    return [this, shown, what, alive = std::weak_ptr<bool>(alive_)](const Result<Done>& result) {
      if (!alive.expired()) (this->*what)(shown, result);
    };
  };
  Outlet* const exports = delivers(certificate) ? parts_.delivery.exports : nullptr;
  if (exports != nullptr) exports->give(certificate, bundle, then(&Publication::exported));
  if (parts_.outlet != nullptr) return parts_.outlet->give(certificate, bundle, then(&Publication::handed_over));
  if (parts_.delivery.serves && exports != nullptr) return;
  if (parts_.delivery.serves && delivers(certificate) && parts_.delivery.hook != nullptr) return tell_hook(shown);
  prove_later(shown);
  if (!is_proved(certificate)) consider_hook(shown);
}

bool Publication::delivers(const CertificateSpec& certificate) const {
  return parts_.delivery.plan && parts_.delivery.plan->certificate(certificate.name) != nullptr;
}

// False: the same failed before, and is told and proved already.
bool Publication::note_delivery(const Shown& shown, std::optional<StatusProblem> Current::*place, const Result<Done>& result,
                                StatusProblem problem, const char* done, const char* failed) {
  bool before = false;
  {
    const std::lock_guard lock(mutex_);
    Current& current = entries_.at(shown.certificate.name)->current;
    if (current.generation != shown.generation) return false;
    before = (current.*place).has_value();
    if (result) {
      (current.*place).reset();
    } else {
      const bool same = before && (current.*place)->message == problem.message;
      problem.since = same ? (current.*place)->since : parts_.clock.now();
      current.*place = problem;
    }
  }
  const std::string& name = shown.certificate.name;
  if (!result) {
    // Whoever failed has written its own line to the log.
    tell(failed, LogLevel::debug, name, problem.message,
         {{"generation", std::to_string(shown.generation)}, {"message", result.error().message}});
  } else if (before || (shown.fresh && place != &Current::not_taken)) {
    tell(done, LogLevel::info, name, name + ": generation " + std::to_string(shown.generation) + " " + words_for(done),
         {{"generation", std::to_string(shown.generation)}});
  }
  if (parts_.changed && (before || !result)) parts_.changed();
  return result || !before;
}

// Whatever came of it: the listeners have the last word.
void Publication::handed_over(const Shown& shown, const Result<Done>& result) {
  StatusProblem problem;
  if (!result) problem = {"not_taken", "the server does not take it: " + result.error().message, {}, remedy_for("not_taken")};
  if (note_delivery(shown, &Current::not_taken, result, std::move(problem), "handed_over", "not_taken")) prove_later(shown);
  if (result && !is_proved(shown.certificate)) consider_hook(shown);
}

void Publication::exported(const Shown& shown, const Result<Done>& result) {
  StatusProblem problem;
  if (!result) {
    const std::string& said = result.error().message;
    problem = {"export", "not exported: " + said, {}, remedy_for(Trouble{.kind = "export", .said = said})};
  }
  const bool news = note_delivery(shown, &Current::not_exported, result, std::move(problem), "exported", "export_failed");
  if (result) {
    const std::lock_guard lock(mutex_);
    Current& current = entries_.at(shown.certificate.name)->current;
    if (current.generation == shown.generation) current.exported = true;
  }
  if (!parts_.delivery.serves) {
    if (result) consider_hook(shown);
  } else if (result && parts_.delivery.hook != nullptr) {
    tell_hook(shown);
  } else if (news) {
    prove_later(shown);
  }
}

// Under a server of ours: once it serves the generation (or nobody looks) and the files are there.
void Publication::consider_hook(const Shown& shown) {
  const auto& delivery = parts_.delivery;
  if (delivery.hook == nullptr || delivery.serves || !delivers(shown.certificate)) return;
  {
    const std::lock_guard lock(mutex_);
    Current& current = entries_.at(shown.certificate.name)->current;
    const bool seen = !is_proved(shown.certificate) || current.served;
    if (current.generation != shown.generation || !seen || (delivery.exports != nullptr && !current.exported)) return;
  }
  tell_hook(shown);
}

void Publication::tell_hook(const Shown& shown) {
  parts_.delivery.hook->give(shown.certificate, shown.generation,
                             [this, shown, alive = std::weak_ptr<bool>(alive_)](const Result<Done>& result) {
                               if (!alive.expired()) hooked(shown, result);
                             });
}

void Publication::hooked(const Shown& shown, const Result<Done>& result) {
  StatusProblem problem;
  if (!result) problem = {"hook", result.error().message, {}, remedy_for("hook")};
  const bool news = note_delivery(shown, &Current::hook_failed, result, std::move(problem), "told_to_hook", "hook_failed");
  if (news && parts_.delivery.serves) prove_later(shown);
}

// --- proof ---

void Publication::prove_later(const Shown& shown) {
  if (!is_proved(shown.certificate)) return;
  constexpr double before_orders = 0;
  parts_.workers.add("proof of " + shown.certificate.name, before_orders, parts_.clock.now(),
                     [this, shown, begun = parts_.clock.now(), first = std::make_shared<bool>(true)] {
                       return prove_once(shown, begun, std::exchange(*first, false));
                     });
}

Workers::Again Publication::prove_once(const Shown& shown, Time begun, bool first) {
  const std::string& name = shown.certificate.name;
  const Current known = current(name);
  if (known.generation != shown.generation) return {std::nullopt, true};
  const bool late = !is_recent(begun, parts_.clock.now(), until_alarm);
  const auto [listener, complaint] = ask_listeners(shown.certificate, known.pairs, first || late);
  const Time now = parts_.clock.now();
  const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(now - known.published_at);
  const std::string generation = std::to_string(shown.generation);
  if (complaint.empty()) {
    {
      const std::lock_guard lock(mutex_);
      Current& place = entries_.at(name)->current;
      if (place.generation != shown.generation) return {std::nullopt, true};
      place.served = CertificateStatus::Served{shown.generation, now, listener};
      place.not_served.reset();
      place.untold = false;
    }
    if (shown.fresh || known.untold || known.not_served) {
      tell("served", LogLevel::notice, name, name + " is served by " + listener + ", generation " + generation,
           {{"generation", generation},
            {"listener", listener},
            {"milliseconds", std::to_string(std::max<std::int64_t>(passed.count(), 0))}});
    } else if (parts_.changed) {
      parts_.changed();
    }
    consider_hook(shown);
    return {std::nullopt, true};
  }
  if (!late) {
    const auto pause =
        std::clamp<std::chrono::milliseconds>(std::chrono::duration_cast<std::chrono::milliseconds>(now - begun) / 2,
                                              std::chrono::milliseconds(3), std::chrono::milliseconds(200));
    return {now + pause};
  }
  const bool told = known.not_served.has_value();
  const std::string message = "issued but not served: " + complaint;
  if (!told || known.not_served->message != message) {
    const StatusProblem problem{"not_served", message, now,
                                "Reload the server, or set proof_address to a "
                                "listener that serves this name."};
    {
      const std::lock_guard lock(mutex_);
      Current& place = entries_.at(name)->current;
      if (place.generation != shown.generation) return {std::nullopt, true};
      place.served.reset();
      place.not_served = problem;
    }
    if (told && parts_.changed) parts_.changed();
    if (!told)
      tell("not_served", LogLevel::error, name, name + " is issued but not served: " + complaint,
           {{"generation", generation}, {"message", complaint}});
  }
  return {now + std::chrono::seconds(30)};
}

void Publication::proved_elsewhere(const std::string& certificate, std::uint64_t generation, const std::string& listener,
                                   bool served, const std::string& message) {
  const Time now = parts_.clock.now();
  std::int64_t passed = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(certificate);
    if (found == entries_.end()) return;
    Current& place = found->second->current;
    // A follower needs only the committed file, and may be faster than we are.
    if (place.generation < generation) found->second->early = Early{generation, listener, served, message};
    if (place.generation != generation) return;
    passed = std::chrono::duration_cast<std::chrono::milliseconds>(now - place.published_at).count();
    if (served) {
      place.served = CertificateStatus::Served{generation, now, listener};
      place.not_served.reset();
    } else {
      place.served.reset();
      place.not_served = StatusProblem{"not_served", "issued but not served: " + message, now, remedy_for("not_served")};
    }
  }
  tell(served ? "served" : "not_served", served ? LogLevel::notice : LogLevel::error, certificate,
       served ? certificate + " is served by " + listener : certificate + " is issued but not served: " + message,
       {{"generation", std::to_string(generation)}, {"listener", listener}, {"milliseconds", std::to_string(passed)}});
}

void Publication::delivered_elsewhere(const std::string& certificate, const std::string& what, std::uint64_t generation,
                                      const std::string& message) {
  const bool hook = what == "hook_failed" || what == "told_to_hook";
  const bool failed = what == "hook_failed" || what == "export_failed";
  {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(certificate);
    if (found == entries_.end() || found->second->current.generation != generation) return;
    auto& place = hook ? found->second->current.hook_failed : found->second->current.not_exported;
    const std::string kind = hook ? "hook" : "export";
    place = failed ? std::optional(StatusProblem{kind, (hook ? "" : "not exported: ") + message, parts_.clock.now(),
                                                 remedy_for(Trouble{.kind = kind, .said = message})})
                   : std::nullopt;
  }
  tell(what.c_str(), failed ? LogLevel::warn : LogLevel::info, certificate,
       certificate + ": " + (failed ? message : "generation " + std::to_string(generation) + " " + words_for(what)),
       {{"generation", std::to_string(generation)}});
}

// --- revocation ---

void Publication::revoked(const std::string& certificate, const std::vector<Bytes>& leaves) {
  const Time now = parts_.clock.now();
  std::vector<RevokedLeaf> listed;
  {
    const std::lock_guard lock(mutex_);
    auto& known = entries_[certificate];
    if (!known) known = std::make_unique<Entry>();
    auto& all = known->current.revoked;
    for (const auto& leaf : leaves) {
      const std::string digest = to_hex(sha256(leaf));
      if (std::none_of(all.begin(), all.end(), [&](const RevokedLeaf& one) { return one.sha256 == digest; }))
        all.push_back({digest, now});
    }
    if (all.size() > most_revoked) all.erase(all.begin(), all.end() - static_cast<std::ptrdiff_t>(most_revoked));
    listed = all;
  }
  if (auto kept = keep_revoked_leaves(parts_.store, certificate, listed); !kept) {
    tell("revocation_not_noted", LogLevel::error, certificate,
         "after a restart nobody will know that " + certificate + " was revoked: " + kept.error().message, {});
  }
  parts_.installed(certificate);
}

std::optional<Time> Publication::Current::revoked_at() const {
  std::optional<Time> first;
  for (const auto& pair : pairs) {
    const std::string digest = to_hex(pair.leaf_sha256);
    for (const auto& one : revoked) {
      if (one.sha256 != digest) continue;
      const Time at = one.at == Time() ? published_at : one.at;
      first = std::min(first.value_or(at), at);
    }
  }
  return first;
}

bool Publication::Current::is_revoked(const Pair& pair) const {
  const std::string digest = to_hex(pair.leaf_sha256);
  return std::any_of(revoked.begin(), revoked.end(), [&](const RevokedLeaf& one) { return one.sha256 == digest; });
}

}  // namespace evercert
