#include "agent/store/revoked_leaves.h"

#include <algorithm>

#include "evercert/state.h"
#include "serving/base/bounds.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

constexpr std::int64_t revoked_format = 1;

constexpr const char* revoked_folder = "revoked/";

std::string key_of(const std::string& certificate) {
  return revoked_folder + file_name_of(certificate);
}

std::vector<RevokedLeaf> read_revoked_at(Store& store, const std::string& key) {
  const std::string what = "what was revoked";
  const auto object = store.get(key);
  if (!object || !*object) return {};
  const auto& value = (*object)->value;
  const auto json = parse_json({reinterpret_cast<const char*>(value.data()), value.size()}, what);
  if (!json || !json_number(*json, "format", what, revoked_format, revoked_format)) return {};
  auto leaves = json_texts(*json, "leaves", what);
  if (!leaves) return {};
  if (leaves->size() > most_revoked) leaves->resize(most_revoked);
  std::vector<RevokedLeaf> revoked;
  for (auto& leaf : *leaves) {
    RevokedLeaf one{std::move(leaf)};
    if (const auto times = json->find("times"); times != json->end() && times->is_object() && times->contains(one.sha256)) {
      if (const auto at = json_number(*times, one.sha256, what)) one.at = moment_of_milliseconds(*at);
    }
    revoked.push_back(std::move(one));
  }
  return revoked;
}

}  // namespace

std::vector<RevokedLeaf> read_revoked_leaves(Store& store, const std::string& certificate) {
  return read_revoked_at(store, key_of(certificate));
}

Result<Done> keep_revoked_leaves(Store& store, const std::string& certificate, const std::vector<RevokedLeaf>& leaves) {
  using std::chrono::milliseconds;
  Json json{{"format", revoked_format}, {"leaves", Json::array()}};
  for (const auto& leaf : leaves) {
    json["leaves"].push_back(leaf.sha256);
    const auto at = std::chrono::duration_cast<milliseconds>(leaf.at.time_since_epoch());
    if (at != milliseconds(0)) json["times"][leaf.sha256] = at.count();
  }
  const std::string text = dump_json(json) + "\n";
  const auto put = store.put(key_of(certificate), bytes_of(text), {});
  if (!put) return put.error();
  return Done{};
}

bool is_revoked(const Bundle& bundle, const std::vector<RevokedLeaf>& revoked) {
  return std::any_of(bundle.pairs.begin(), bundle.pairs.end(), [&](const BundlePair& pair) {
    const std::string digest = to_hex(sha256(pair.leaf));
    return std::any_of(revoked.begin(), revoked.end(), [&](const RevokedLeaf& one) { return one.sha256 == digest; });
  });
}

Result<Done> refuse_revoked(Store& store, BytesView leaf) {
  const auto keys = store.list(revoked_folder);
  if (!keys || keys->empty()) return Done{};
  const std::string digest = to_hex(sha256(leaf));
  for (const std::string& key : *keys) {
    for (const RevokedLeaf& one : read_revoked_at(store, key)) {
      if (one.sha256 == digest)
        return Error{ErrorKind::configuration,
                     "evercert revoked it, and what is revoked is not taken over; bring another, or have one ordered"};
    }
  }
  return Done{};
}

}  // namespace evercert
