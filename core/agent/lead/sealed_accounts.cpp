#include "agent/lead/sealed_accounts.h"

#include "serving/base/json.h"

namespace evercert {
namespace {

RecordPlace place_of(const std::string& id) {
  const std::string key = "accounts/" + id + ".account";
  return {SealedKind::account, key, id, "the account record " + key};
}

}  // namespace

Result<std::optional<AccountRecord>> SealedAccounts::load(const std::string& id) {
  std::optional<AccountRecord> record;
  const auto found = records_.load(place_of(id), [&](const Json& json) { record = account_record_from(json); });
  if (!found) return found.error();
  // A damaged account is found again by its key only, and the key is in it: a new account takes its place.
  return record;
}

Result<AccountRecord> SealedAccounts::add(const std::string& id, const AccountRecord& record) {
  auto present = load(id);
  if (!present) return present.error();
  if (*present) return std::move(**present);
  Store::PutOptions absent;
  absent.condition.kind = Store::Condition::Kind::absent;
  const auto put = records_.save(place_of(id), to_json(record), absent);
  if (put) return record;
  // Somebody else may have been first.
  auto again = load(id);
  if (again && *again) return std::move(**again);
  return put.error();
}

Result<Done> SealedAccounts::save(const std::string& id, const AccountRecord& record) {
  return records_.save(place_of(id), to_json(record));
}

}  // namespace evercert
