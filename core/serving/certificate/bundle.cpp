// The bundle's form: CBOR inside the seal.
#include "serving/certificate/bundle.h"

#include <openssl/crypto.h>

#include "serving/base/bounds.h"
#include "serving/base/json.h"
#include "serving/base/limits.h"
#include "serving/store/seal.h"

namespace evercert {
namespace {

std::string description(const std::string& name, std::uint64_t generation) {
  return "bundle " + std::to_string(generation) + " of \"" + name + "\"";
}

// Wipes the private keys that a document carries when it goes; nlohmann's containers do not.
class WipedDocument {
 public:
  explicit WipedDocument(Json document) : document_(std::move(document)) {}
  WipedDocument(const WipedDocument&) = delete;
  WipedDocument& operator=(const WipedDocument&) = delete;
  ~WipedDocument() { wipe(document_); }
  Json& operator*() { return document_; }

 private:
  static void wipe(Json& value) noexcept {
    if (auto* const bytes = value.get_ptr<Json::binary_t*>()) {
      OPENSSL_cleanse(bytes->data(), bytes->size());
    } else if (value.is_structured()) {
      for (Json& inner : value) wipe(inner);
    }
  }
  Json document_;
};

Json to_json(const BundlePair& pair) {
  Json json = {{"key", pair.key.text()}, {"leaf", Json::binary(pair.leaf)}, {"chain", Json::array()}};
  for (const Bytes& certificate : pair.chain) json["chain"].push_back(Json::binary(certificate));
  if (pair.reference.empty()) {
    const BytesView key = pair.private_key.view();
    json["private"] = Json::binary(Bytes(key.begin(), key.end()));
  } else {
    json["reference"] = pair.reference;
  }
  return json;
}

Json to_json(const Bundle& bundle) {
  Json json = {{"format", bundle_format},
               {"name", bundle.name},
               {"issuer", bundle.issuer},
               {"issued_at", std::chrono::duration_cast<std::chrono::seconds>(bundle.issued_at.time_since_epoch()).count()},
               {"origin", bundle.origin},
               {"identifiers", Json::array()},
               {"pairs", Json::array()}};
  for (const Identifier& identifier : bundle.identifiers) {
    json["identifiers"].push_back(
        {{"type", identifier.kind == IdentifierKind::dns ? "dns" : "ip"}, {"value", identifier.value}});
  }
  for (const BundlePair& pair : bundle.pairs) json["pairs"].push_back(to_json(pair));
  return json;
}

// Room for the whole document at once: a vector that grew would leave copies of private keys in freed memory.
std::size_t size_bound(const Bundle& bundle) {
  std::size_t size = 1024 + bundle.name.size() + bundle.issuer.size() + bundle.origin.size();
  for (const Identifier& identifier : bundle.identifiers) size += identifier.value.size() + 64;
  for (const BundlePair& pair : bundle.pairs) {
    size += pair.leaf.size() + pair.private_key.view().size() + pair.reference.size() + 256;
    for (const Bytes& certificate : pair.chain) size += certificate.size() + 16;
  }
  return size;
}

Result<Bytes> bytes_member(const Json& object, const char* member, const std::string& what) {
  const auto found = object.find(member);
  if (found == object.end() || !found->is_binary()) {
    return Error{ErrorKind::storage, what + " is damaged: \"" + member + "\" is missing or no bytes"};
  }
  return Bytes(found->get_binary().begin(), found->get_binary().end());
}

// `objects`: an array of objects is wanted.
Result<const Json*> array_member(const Json& object, const char* member, bool objects, const std::string& what) {
  const Error damaged{ErrorKind::storage, what + " is damaged: \"" + member + "\" is missing or not as it should be"};
  const auto found = object.find(member);
  if (found == object.end() || !found->is_array()) return damaged;
  for (const Json& inner : *found) {
    if (objects ? !inner.is_object() : !inner.is_binary()) return damaged;
  }
  return &*found;
}

Result<BundlePair> read_pair(const Json& json, const std::string& what) {
  BundlePair pair;
  auto key = json_text(json, "key", what);
  if (!key) return key.error();
  auto spec = parse_key_spec(*key);
  if (!spec) return spec.error().with_prefix(what);
  pair.key = *spec;
  auto leaf = bytes_member(json, "leaf", what);
  if (!leaf) return leaf.error();
  pair.leaf = std::move(*leaf);
  const auto chain = array_member(json, "chain", false, what);
  if (!chain) return chain.error();
  for (const Json& certificate : **chain) {
    pair.chain.emplace_back(certificate.get_binary().begin(), certificate.get_binary().end());
  }
  if (json.contains("reference")) {
    auto reference = json_text(json, "reference", what);
    if (!reference) return reference.error();
    pair.reference = std::move(*reference);
    return pair;
  }
  auto private_key = bytes_member(json, "private", what);
  if (!private_key) return private_key.error();
  pair.private_key = Secret(std::move(*private_key));
  return pair;
}

Result<Done> read_identifiers(const Json& json, Bundle& bundle, const std::string& what) {
  const auto identifiers = array_member(json, "identifiers", true, what);
  if (!identifiers) return identifiers.error();
  for (const Json& identifier : **identifiers) {
    const auto type = json_text(identifier, "type", what);
    if (!type) return type.error();
    auto value = json_text(identifier, "value", what);
    if (!value) return value.error();
    bundle.identifiers.push_back({*type == "ip" ? IdentifierKind::ip : IdentifierKind::dns, std::move(*value)});
  }
  return Done{};
}

Result<Done> read_facts(const Json& json, Bundle& bundle, const std::string& what) {
  const auto name = json_text(json, "name", what);
  if (!name) return name.error();
  if (*name != bundle.name)
    return Error{ErrorKind::storage, what + " is damaged: it says that it belongs to \"" + *name + "\""};
  auto issuer = json_text(json, "issuer", what);
  if (!issuer) return issuer.error();
  bundle.issuer = std::move(*issuer);
  auto origin = json_text(json, "origin", what);
  if (!origin) return origin.error();
  bundle.origin = std::move(*origin);
  const auto issued_at = json_number(json, "issued_at", what);
  if (!issued_at) return issued_at.error();
  bundle.issued_at = moment_of(*issued_at);
  return Done{};
}

Result<Bundle> read_document(const Json& json, Bundle bundle, const std::string& what) {
  if (!json.is_object()) return Error{ErrorKind::storage, what + " is damaged: its contents are not a CBOR map"};
  const auto format = json_number(json, "format", what);
  if (!format) return format.error();
  if (*format > static_cast<std::int64_t>(bundle_format)) return seal_error(SealFault::newer, what);
  if (*format < 1) return Error{ErrorKind::storage, what + " is damaged: it has no valid format number"};
  if (const auto facts = read_facts(json, bundle, what); !facts) return facts.error();
  if (const auto identifiers = read_identifiers(json, bundle, what); !identifiers) return identifiers.error();
  const auto pairs = array_member(json, "pairs", true, what);
  if (!pairs) return pairs.error();
  if ((*pairs)->empty()) return Error{ErrorKind::storage, what + " is damaged: it holds no certificate"};
  for (const Json& inner : **pairs) {
    auto pair = read_pair(inner, what);
    if (!pair) return pair.error();
    bundle.pairs.push_back(std::move(*pair));
  }
  return bundle;
}

// Whatever a reader below thinks of it: contents that authenticate but cannot be read are a fault of what is on disk.
Error as_storage(Error error) {
  if (error.kind != ErrorKind::action_required) error.kind = ErrorKind::storage;
  if (error.kind == ErrorKind::storage && error.message.find("damaged") == std::string::npos) error.message += " (damaged)";
  return error;
}

}  // namespace

std::string bundle_path(std::string_view name, std::uint64_t generation) {
  return "certificates/" + file_name_of(name) + "/" + std::to_string(generation) + ".bundle";
}

Result<Bytes> seal_bundle(const SealKey& serving, const Bundle& bundle) {
  Bytes content;
  content.reserve(size_bound(bundle));
  try {
    WipedDocument document(to_json(bundle));
    Json::to_cbor(*document, content);
  } catch (const Json::exception& failure) {
    return Error{ErrorKind::internal,
                 description(bundle.name, bundle.generation) + " cannot be written: " + std::string(failure.what())};
  }
  const Secret owned(std::move(content));
  return seal(serving, {SealedKind::bundle, bundle.name, bundle.generation}, owned.view());
}

Result<std::optional<Bytes>> read_bundle(const StateFiles& state, const SealKey& serving, const std::string& name,
                                         std::uint64_t generation) {
  const std::string path = bundle_path(name, generation);
  auto start = state.read_start(path, sealed_least);
  if (!start || !*start || fault_of_start(serving, {SealedKind::bundle, name, generation}, **start)) return start;
  return state.read(path, largest_bundle);
}

Result<Bundle> open_bundle(const SealKey& serving, const std::string& name, std::uint64_t generation, BytesView file) {
  const std::string what = description(name, generation);
  const Unsealed unsealed = unseal(serving, {SealedKind::bundle, name, generation}, file);
  if (unsealed.fault) return seal_error(*unsealed.fault, what);
  try {
    const BytesView content = unsealed.content.view();
    WipedDocument document(Json::from_cbor(content.begin(), content.end(), true, false));
    Bundle bundle;
    bundle.name = name;
    bundle.generation = generation;
    auto read = read_document(*document, std::move(bundle), what);
    if (!read) return as_storage(read.error());
    return read;
  } catch (const Json::exception& failure) {
    return Error{ErrorKind::storage, what + " is damaged: " + std::string(failure.what())};
  }
}

}  // namespace evercert
