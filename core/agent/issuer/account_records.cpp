#include "agent/issuer/account_records.h"

#include "serving/base/encoding.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

constexpr std::int64_t record_format = 1;

Error as_storage(Error error) {
  error.kind = ErrorKind::storage;
  return error;
}

}  // namespace

Secret to_bytes(const AccountRecord& record) {
  Json json = {{"format", record_format},
               {"directory", record.directory},
               {"url", record.url},
               {"key", to_base64url(record.key.view())}};
  if (record.contacts) json["contact"] = *record.contacts;
  return Secret::from_text(dump_json(json));
}

Result<AccountRecord> read_account_record(const Secret& content) {
  const std::string what = "an account's record";
  auto json = parse_json(content.text(), what);
  // Not the parser's sentence: it quotes what it could not read.
  if (!json) return Error{ErrorKind::storage, what + " is not JSON; it is damaged"};
  auto format = json_number(*json, "format", what);
  if (!format) return as_storage(format.error());
  if (*format > record_format) {
    return Error{ErrorKind::action_required,
                 what + " was written by a newer release; run that release again or remove the record"};
  }
  AccountRecord record;
  auto directory = json_text(*json, "directory", what);
  if (!directory) return as_storage(directory.error());
  record.directory = std::move(*directory);
  auto url = json_text(*json, "url", what);
  if (!url) return as_storage(url.error());
  record.url = std::move(*url);
  auto key = json_text(*json, "key", what);
  if (!key) return as_storage(key.error());
  auto bytes = from_base64url(*key);
  if (!bytes) return as_storage(bytes.error());
  record.key = Secret(std::move(*bytes));
  const auto contacts = json->find("contact");
  if (contacts == json->end() || !contacts->is_array()) return record;
  record.contacts.emplace();
  for (const Json& contact : *contacts)
    if (contact.is_string()) record.contacts->push_back(contact.get<std::string>());
  return record;
}

}  // namespace evercert
