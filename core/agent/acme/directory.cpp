#include "agent/acme/directory.h"

#include "agent/net/address.h"
#include "evercert/text.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

// More profiles or domains than any CA has.
constexpr std::size_t most_listed = 100;

Result<std::string> address(const Json& object, std::string_view member, bool required, const std::string& uri,
                            const std::string& what) {
  auto value = json_optional_text(object, member, what);
  if (!value) return value.error();
  const std::string text = value->value_or("");
  if (text.empty()) {
    if (!required) return text;
    return Error{ErrorKind::connection, what + " has no " + std::string(member) + "; is this address an ACME directory?"};
  }
  if (auto usable = check_address(text, uri, what, "ask for " + std::string(member)); !usable) return usable.error();
  return text;
}

Error as_connection(Error error) {
  error.kind = ErrorKind::connection;
  return error;
}

// RFC 8555 section 7.1.1: all of it is optional.
Result<Done> read_meta(const Json& meta, const std::string& what, Directory& directory) {
  auto terms = json_optional_text(meta, "termsOfService", what);
  if (!terms) return as_connection(terms.error());
  directory.terms_of_service = printable(terms->value_or(""), longest_quote);
  auto website = json_optional_text(meta, "website", what);
  if (!website) return as_connection(website.error());
  directory.website = printable(website->value_or(""), longest_quote);
  const auto external = meta.find("externalAccountRequired");
  directory.external_account_required = external != meta.end() && external->is_boolean() && external->get<bool>();
  const auto profiles = meta.find("profiles");
  if (profiles != meta.end() && profiles->is_object()) {
    for (const auto& [name, description] : profiles->items()) {
      if (name.size() > longest_quote || directory.profiles.size() == most_listed) continue;
      directory.profiles[name] =
          description.is_string() ? printable(description.get_ref<const std::string&>(), longest_quote) : "";
    }
  }
  const auto identities = meta.find("caaIdentities");
  if (identities == meta.end() || !identities->is_array()) return Done{};
  for (const auto& identity : *identities) {
    if (!identity.is_string() || directory.caa_identities.size() == most_listed) continue;
    auto domain = identity.get<std::string>();
    for (char& c : domain) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    directory.caa_identities.push_back(std::move(domain));
  }
  return Done{};
}

}  // namespace

Result<Directory> parse_directory(std::string_view text, const std::string& uri) {
  const std::string what = "the directory " + uri;
  auto json = parse_json(text, what);
  if (!json) return as_connection(json.error());
  if (!json->is_object()) return Error{ErrorKind::connection, what + " is not a JSON object"};

  Directory directory;
  const struct {
    const char* member;
    std::string& place;
    bool required;
  } addresses[] = {{"newNonce", directory.new_nonce, true},    {"newAccount", directory.new_account, true},
                   {"newOrder", directory.new_order, true},    {"revokeCert", directory.revoke_cert, false},
                   {"keyChange", directory.key_change, false}, {"renewalInfo", directory.renewal_info, false}};
  for (const auto& entry : addresses) {
    auto found = address(*json, entry.member, entry.required, uri, what);
    if (!found) return as_connection(found.error());
    entry.place = *found;
  }

  const auto meta = json->find("meta");
  if (meta == json->end() || !meta->is_object()) return directory;
  if (auto read = read_meta(*meta, what, directory); !read) return read.error();
  return directory;
}

}  // namespace evercert
