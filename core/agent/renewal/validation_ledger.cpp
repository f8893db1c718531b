#include "agent/renewal/validation_ledger.h"

#include <algorithm>
#include <set>

#include "serving/base/bounds.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

// Many names may fail in an hour, and a file of the store has a largest size: the names are spread over some files.
constexpr std::string_view parts = "0123456789abcdef";
RecordPlace place_of(char part) {
  const std::string key = std::string("orders/validations_") + part + ".pace";
  return {SealedKind::order, key, key, "the record of failed validations " + key};
}

char part_of(const std::string& name) {
  return to_hex(sha256({reinterpret_cast<const std::uint8_t*>(name.data()), name.size()})).front();
}

constexpr std::chrono::hours counted{1};

// A time in the future is a clock that was turned back since: it says nothing any more.
bool counts(Time at, Time now) {
  return at <= now && now - at < counted;
}

}  // namespace

ValidationLedger::ValidationLedger(Store& store, SealKey agent) : records_(store, std::move(agent)) {
  for (const char part : parts) read(part);
}

void ValidationLedger::read(char part) {
  struct Failure {
    std::pair<std::string, std::string> of;
    Time at;
  };
  std::vector<Failure> kept;
  const auto found = records_.load(place_of(part), [&](const Json& json) {
    for (const auto& entry : json.at("failed")) {
      kept.push_back({{entry.at("issuer").get<std::string>(), entry.at("name").get<std::string>()},
                      moment_of_milliseconds(entry.at("at").get<std::int64_t>())});
    }
  });
  if (!found || !found->present) return;
  for (const auto& [of, at] : kept) failures_[of].push_back(at);
  for (auto& [of, times] : failures_) std::sort(times.begin(), times.end());
}

void ValidationLedger::forget_old(Time now) {
  for (auto& [of, times] : failures_) std::erase_if(times, [&](Time at) { return !counts(at, now); });
  std::erase_if(failures_, [](const auto& entry) { return entry.second.empty(); });
}

Result<Done> ValidationLedger::write(char part) {
  Json json{{"failed", Json::array()}};
  for (const auto& [of, times] : failures_) {
    if (part_of(of.second) != part) continue;
    for (const Time at : times) {
      const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count();
      json["failed"].push_back({{"issuer", of.first}, {"name", of.second}, {"at", milliseconds}});
    }
  }
  return records_.save(place_of(part), std::move(json), {.durability = Durability::process});
}

Result<Done> ValidationLedger::failed(const std::string& issuer_uri, const std::vector<std::string>& names, Time now) {
  const std::lock_guard lock(mutex_);
  forget_old(now);
  std::set<char> changed;
  for (const auto& name : names) {
    auto& times = failures_[{issuer_uri, name}];
    times.push_back(now);
    if (times.size() > failed_validations_an_hour) times.pop_front();
    changed.insert(part_of(name));
  }
  for (const char part : changed) {
    if (auto written = write(part); !written) return written;
  }
  return Done{};
}

std::optional<Time> ValidationLedger::blocked_until(const std::string& issuer_uri, const std::vector<std::string>& names,
                                                    Time now) const {
  const std::lock_guard lock(mutex_);
  std::optional<Time> until;
  for (const auto& name : names) {
    const auto found = failures_.find({issuer_uri, name});
    if (found == failures_.end() || found->second.size() < failed_validations_an_hour) continue;
    const auto& times = found->second;
    if (!std::all_of(times.begin(), times.end(), [&](Time at) { return counts(at, now); })) continue;
    if (!until || times.front() + counted > *until) until = times.front() + counted;
  }
  return until;
}

}  // namespace evercert
