#include "agent/lead/stored_offers.h"

#include <array>
#include <utility>

#include "serving/base/encoding.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

// By OfferRecords::What.
constexpr std::array<std::pair<const char*, const char*>, 3> kinds{{
    {".offers", "what is offered there"},
    {".requests", "what the CA was asked for"},
    {".left_alone", "orders that were left alone"},
}};

// Names of issuers may have letters that keys of the store have not.
RecordPlace place_of(const std::string& issuer, OfferRecords::What what) {
  constexpr std::size_t length = 16;
  const auto& [ending, words] = kinds[static_cast<std::size_t>(what)];
  const std::string id = to_hex(sha256(bytes_of(issuer))).substr(0, length) + ending;
  return {SealedKind::account, "accounts/" + id, id, "the record of issuer " + issuer + ": " + words};
}

}  // namespace

Result<bool> StoredOffers::load(const std::string& issuer, What what, const Reader& read) {
  const auto found = records_.load(place_of(issuer, what), read);
  if (!found) return found.error();
  if (found->damaged) return *found->damaged;
  return found->present;
}

Result<Done> StoredOffers::save(const std::string& issuer, What what, Json content) {
  return records_.save(place_of(issuer, what), std::move(content), {.durability = Durability::process});
}

}  // namespace evercert
