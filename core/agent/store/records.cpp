#include "agent/store/records.h"

#include <openssl/crypto.h>

#include "serving/base/json.h"

namespace evercert {
namespace {

struct Home {
  std::string folder;
  std::string ending;
};

Home home_of(SealedKind kind) {
  switch (kind) {
    case SealedKind::account:
      return {"accounts/", ".account"};
    case SealedKind::order:
      return {"orders/", ".order"};
    case SealedKind::challenge:
      return {"challenges/", ".answer"};
    case SealedKind::bundle:
    case SealedKind::message:
      break;
  }
  return {};  // no record: the empty key is refused by the store
}

std::string description(SealedKind kind, const std::string& name) {
  const std::string word = home_of(kind).ending;
  return "the record " + (word.empty() ? word : word.substr(1)) + " \"" + name + "\"";
}

Result<std::shared_ptr<const Json>> read_record(const SealKey& agent, const SealLabel& label, BytesView file,
                                                const std::string& what) {
  const Unsealed unsealed = unseal(agent, label, file);
  if (unsealed.fault) return seal_error(*unsealed.fault, what);
  auto content = parse_json(unsealed.content.text(), what);
  if (!content) return Error{ErrorKind::storage, what + " is damaged: " + content.error().message};
  const auto format = json_number(*content, "format", what);
  if (!format || *format < 1) return Error{ErrorKind::storage, what + " is damaged: it has no valid format number"};
  if (*format > static_cast<std::int64_t>(record_format)) return seal_error(SealFault::newer, what);
  return std::make_shared<const Json>(std::move(*content));
}

}  // namespace

std::string record_key(SealedKind kind, const std::string& name) {
  const Home home = home_of(kind);
  return home.folder.empty() ? std::string() : home.folder + name + home.ending;
}

Result<std::vector<std::string>> record_names(Store& store, SealedKind kind) {
  const Home home = home_of(kind);
  const auto keys = store.list(home.folder);
  if (!keys) return keys.error();
  std::vector<std::string> names;
  for (const std::string& key : *keys) {
    if (!key.ends_with(home.ending) || key.find('/', home.folder.size()) != std::string::npos) continue;
    names.push_back(key.substr(home.folder.size(), key.size() - home.folder.size() - home.ending.size()));
  }
  return names;
}

Result<LoadedRecord> load_record(Store& store, const SealKey& agent, SealedKind kind, const std::string& name) {
  const std::string key = record_key(kind, name);
  const auto object = store.get(key);
  if (!object) return object.error();
  LoadedRecord record;
  if (!*object) return record;
  auto content = read_record(agent, {kind, name}, (*object)->value, description(kind, name));
  if (content) {
    record.content = std::move(*content);
    record.revision = (*object)->revision;
    return record;
  }
  if (content.error().kind == ErrorKind::action_required) return content.error();
  Error fault = content.error();
  const auto moved = store.quarantine(key);
  fault.message += moved ? "; it was moved to " + *moved : "; " + moved.error().message;
  record.damaged = std::move(fault);
  return record;
}

Result<std::uint64_t> save_record(Store& store, const SealKey& agent, SealedKind kind, const std::string& name,
                                  nlohmann::json content, const Store::PutOptions& options) {
  if (!content.is_object()) return Error{ErrorKind::internal, description(kind, name) + " is not an object"};
  content["format"] = record_format;
  std::string text = dump_json(content);
  const auto file = seal(agent, {kind, name}, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  OPENSSL_cleanse(text.data(), text.size());  // accounts and orders carry private keys
  if (!file) return file.error();
  return store.put(record_key(kind, name), *file, options);
}

Result<Done> erase_record(Store& store, SealedKind kind, const std::string& name) {
  return store.erase(record_key(kind, name));
}

}  // namespace evercert
