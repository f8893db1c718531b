#include "agent/renewal/validation_ledger.h"

#include <algorithm>

#include "serving/base/bounds.h"
#include "serving/base/json.h"
#include "serving/store/seal.h"

namespace evercert {
namespace {

constexpr const char* ledger_key = "orders/validations.pace";
constexpr std::chrono::hours counted{1};

// A time in the future is a clock that was turned back since: it says nothing any more.
bool counts(Time at, Time now) {
  return at <= now && now - at < counted;
}

}  // namespace

ValidationLedger::ValidationLedger(Store& store, SealKey agent) : store_(store), key_(std::move(agent)) {
  read();
}

void ValidationLedger::read() {
  auto object = store_.get(ledger_key);
  if (!object || !*object) return;
  const auto opened = unseal(key_, {SealedKind::order, ledger_key}, (*object)->value);
  if (opened.fault) return;
  const auto json = parse_json(opened.content.text(), ledger_key);
  if (!json || !json->is_object() || !json->contains("failed") || !json->at("failed").is_array()) return;
  for (const auto& entry : json->at("failed")) {
    const auto issuer = json_text(entry, "issuer", ledger_key);
    const auto name = json_text(entry, "name", ledger_key);
    const auto at = json_number(entry, "at", ledger_key);
    if (issuer && name && at) failures_[{*issuer, *name}].push_back(moment_of_milliseconds(*at));
  }
  for (auto& [of, times] : failures_) std::sort(times.begin(), times.end());
}

void ValidationLedger::forget_old(Time now) {
  for (auto& [of, times] : failures_) std::erase_if(times, [&](Time at) { return !counts(at, now); });
  std::erase_if(failures_, [](const auto& entry) { return entry.second.empty(); });
}

Result<Done> ValidationLedger::write() const {
  Json json{{"format", 1}, {"failed", Json::array()}};
  for (const auto& [of, times] : failures_) {
    for (const Time at : times) {
      const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count();
      json["failed"].push_back({{"issuer", of.first}, {"name", of.second}, {"at", milliseconds}});
    }
  }
  const std::string text = dump_json(json);
  auto sealed = seal(key_, {SealedKind::order, ledger_key}, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  if (!sealed) return sealed.error();
  Store::PutOptions options;
  options.durability = Durability::process;
  auto revision = store_.put(ledger_key, *sealed, options);
  if (!revision) return revision.error();
  return Done{};
}

Result<Done> ValidationLedger::failed(const std::string& issuer_uri, const std::vector<std::string>& names, Time now) {
  const std::lock_guard lock(mutex_);
  forget_old(now);
  for (const auto& name : names) {
    auto& times = failures_[{issuer_uri, name}];
    times.push_back(now);
    if (times.size() > failed_validations_an_hour) times.pop_front();
  }
  return write();
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
