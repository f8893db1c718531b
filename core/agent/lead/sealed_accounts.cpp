#include "agent/lead/sealed_accounts.h"

#include "serving/store/seal.h"

namespace evercert {
namespace {

std::string account_key(const std::string& id) {
  return "accounts/" + id + ".account";
}

}  // namespace

Result<std::optional<AccountRecord>> SealedAccounts::load(const std::string& id) {
  const std::string key = account_key(id);
  auto object = store_.get(key);
  if (!object) return object.error();
  if (!*object) return std::optional<AccountRecord>();
  const auto opened = unseal(key_, {SealedKind::account, id}, (*object)->value);
  if (!opened.fault) {
    auto record = read_account_record(opened.content);
    if (record) return std::optional<AccountRecord>(std::move(record).value());
    return record.error();
  }
  const Error fault = seal_error(*opened.fault, "the account record " + key);
  if (fault.kind == ErrorKind::action_required) return fault;
  // A damaged account is found again by its key only, and the key is in it: a new account takes its place.
  if (auto moved = store_.quarantine(key); !moved) return moved.error();
  return std::optional<AccountRecord>();
}

Result<AccountRecord> SealedAccounts::add(const std::string& id, const AccountRecord& record) {
  auto present = load(id);
  if (!present) return present.error();
  if (*present) return std::move(**present);
  Store::Condition absent;
  absent.kind = Store::Condition::Kind::absent;
  auto put_now = put(id, record, absent);
  if (put_now) return record;
  // Somebody else may have been first.
  auto again = load(id);
  if (again && *again) return std::move(**again);
  return put_now.error();
}

Result<Done> SealedAccounts::save(const std::string& id, const AccountRecord& record) {
  return put(id, record, {});
}

Result<Done> SealedAccounts::put(const std::string& id, const AccountRecord& record, Store::Condition condition) {
  const Secret content = to_bytes(record);
  auto sealed = seal(key_, {SealedKind::account, id}, content.view());
  if (!sealed) return sealed.error();
  Store::PutOptions options;
  options.condition = condition;
  auto revision = store_.put(account_key(id), *sealed, options);
  if (!revision) return revision.error();
  return Done{};
}

}  // namespace evercert
