#include "agent/store/revoked_leaves.h"

#include "evercert/state.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

constexpr std::int64_t revoked_format = 1;

std::string key_of(const std::string& certificate) {
  return "revoked/" + file_name_of(certificate);
}

}  // namespace

std::vector<std::string> read_revoked_leaves(Store& store, const std::string& certificate) {
  const std::string what = "what was revoked";
  const auto object = store.get(key_of(certificate));
  if (!object || !*object) return {};
  const auto& value = (*object)->value;
  const auto json = parse_json({reinterpret_cast<const char*>(value.data()), value.size()}, what);
  if (!json || !json_number(*json, "format", what, revoked_format, revoked_format)) return {};
  auto leaves = json_texts(*json, "leaves", what);
  if (!leaves) return {};
  if (leaves->size() > most_revoked) leaves->resize(most_revoked);
  return std::move(*leaves);
}

Result<Done> keep_revoked_leaves(Store& store, const std::string& certificate, const std::vector<std::string>& leaves) {
  const std::string text = dump_json({{"format", revoked_format}, {"leaves", leaves}}) + "\n";
  const auto put = store.put(key_of(certificate), bytes_of(text), {});
  if (!put) return put.error();
  return Done{};
}

}  // namespace evercert
