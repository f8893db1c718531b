#include "agent/issuer/account_records.h"

#include <stdexcept>

#include "serving/base/encoding.h"
#include "serving/base/json.h"

namespace evercert {

Json to_json(const AccountRecord& record) {
  Json json{{"directory", record.directory}, {"url", record.url}, {"key", to_base64url(record.key.view())}};
  if (record.contacts) json["contact"] = *record.contacts;
  return json;
}

AccountRecord account_record_from(const Json& json) {
  AccountRecord record;
  record.directory = json.at("directory").get<std::string>();
  record.url = json.at("url").get<std::string>();
  std::string text = json.at("key").get<std::string>();
  auto key = from_base64url(text);
  wipe(text);
  if (!key) throw std::runtime_error("its key is not in base64url");
  record.key = Secret(std::move(*key));
  if (json.contains("contact")) record.contacts = json.at("contact").get<std::vector<std::string>>();
  return record;
}

}  // namespace evercert
