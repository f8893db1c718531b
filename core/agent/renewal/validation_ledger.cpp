#include "agent/renewal/validation_ledger.h"

#include <algorithm>
#include <set>

#include "serving/base/bounds.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"
#include "serving/store/seal.h"

namespace evercert {
namespace {

// Many names may fail in an hour, and a file of the store has a largest size: the names are spread over some files.
constexpr std::string_view parts = "0123456789abcdef";
std::string key_of_part(char part) {
  return std::string("orders/validations_") + part + ".pace";
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

ValidationLedger::ValidationLedger(Store& store, SealKey agent) : store_(store), key_(std::move(agent)) {
  for (const char part : parts) read(part);
}

void ValidationLedger::read(char part) {
  const std::string key = key_of_part(part);
  auto object = store_.get(key);
  if (!object || !*object) return;
  const auto opened = unseal(key_, {SealedKind::order, key}, (*object)->value);
  if (opened.fault) return;
  const auto json = parse_json(opened.content.text(), key);
  if (!json || !json->is_object() || !json->contains("failed") || !json->at("failed").is_array()) return;
  for (const auto& entry : json->at("failed")) {
    const auto issuer = json_text(entry, "issuer", key);
    const auto name = json_text(entry, "name", key);
    const auto at = json_number(entry, "at", key);
    if (issuer && name && at) failures_[{*issuer, *name}].push_back(moment_of_milliseconds(*at));
  }
  for (auto& [of, times] : failures_) std::sort(times.begin(), times.end());
}

void ValidationLedger::forget_old(Time now) {
  for (auto& [of, times] : failures_) std::erase_if(times, [&](Time at) { return !counts(at, now); });
  std::erase_if(failures_, [](const auto& entry) { return entry.second.empty(); });
}

Result<Done> ValidationLedger::write(char part) const {
  const std::string key = key_of_part(part);
  Json json{{"format", 1}, {"failed", Json::array()}};
  for (const auto& [of, times] : failures_) {
    if (part_of(of.second) != part) continue;
    for (const Time at : times) {
      const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count();
      json["failed"].push_back({{"issuer", of.first}, {"name", of.second}, {"at", milliseconds}});
    }
  }
  const std::string text = dump_json(json);
  auto sealed = seal(key_, {SealedKind::order, key}, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  if (!sealed) return sealed.error();
  Store::PutOptions options;
  options.durability = Durability::process;
  auto revision = store_.put(key, *sealed, options);
  if (!revision) return revision.error();
  return Done{};
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
