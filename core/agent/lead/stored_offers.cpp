#include "agent/lead/stored_offers.h"

#include "serving/base/encoding.h"
#include "serving/store/seal.h"

namespace evercert {
namespace {

// Names of issuers may have letters that keys of the store have not.
std::string id_of(const std::string& issuer) {
  constexpr std::size_t length = 16;
  const BytesView text(reinterpret_cast<const std::uint8_t*>(issuer.data()), issuer.size());
  return to_hex(sha256(text)).substr(0, length) + ".offers";
}

}  // namespace

Result<std::optional<std::string>> StoredOffers::load(const std::string& issuer) {
  const std::string id = id_of(issuer);
  auto object = store_.get("accounts/" + id);
  if (!object) return object.error();
  if (!*object) return std::optional<std::string>();
  const auto opened = unseal(key_, {SealedKind::account, id}, (*object)->value);
  if (opened.fault) return seal_error(*opened.fault, "the record of what the issuer " + issuer + " offers");
  return std::optional<std::string>(std::string(opened.content.text()));
}

Result<Done> StoredOffers::save(const std::string& issuer, const std::string& text) {
  const std::string id = id_of(issuer);
  auto sealed = seal(key_, {SealedKind::account, id}, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  if (!sealed) return sealed.error();
  Store::PutOptions options;
  options.durability = Durability::process;
  auto revision = store_.put("accounts/" + id, *sealed, options);
  if (!revision) return revision.error();
  return Done{};
}

}  // namespace evercert
