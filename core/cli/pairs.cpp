#include "cli/pairs.h"

#include "agent/observe/status_report.h"
#include "cli/commands.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"
#include "serving/base/limits.h"

namespace evercert {

Result<std::optional<Bundle>> newest_readable_bundle(const StateReader& state, const SealKey& serving,
                                                     const std::string& certificate) {
  Result<std::vector<std::uint64_t>> generations = generations_of(state, certificate);
  if (!generations) {
    return generations.error();
  }
  for (const std::uint64_t generation : *generations) {
    Result<std::optional<Bytes>> file = state.read(bundle_path(certificate, generation), largest_bundle);
    if (!file) {
      return file.error();
    }
    if (!*file) {
      continue;
    }
    Result<Bundle> bundle = open_bundle(serving, certificate, generation, **file);
    if (bundle) {
      return std::optional<Bundle>(std::move(*bundle));
    }
    if (bundle.error().kind == ErrorKind::action_required) {
      return bundle.error();
    }
  }
  return std::optional<Bundle>();
}

Result<Json> pair_facts(const std::string& state_path, const StateReader& state, const std::string& certificate) {
  Result<std::optional<SealKeys>> keys = keys_of(state_path);
  if (!keys) {
    return keys.error().with_prefix("its keys cannot be shown");
  }
  if (!*keys) {
    return Json::array();
  }
  Result<std::optional<Bundle>> bundle = newest_readable_bundle(state, (*keys)->serving, certificate);
  if (!bundle) {
    return bundle.error();
  }
  Json pairs = Json::array();
  if (!*bundle) {
    return pairs;
  }
  for (const BundlePair& pair : (*bundle)->pairs) {
    Result<LeafFacts> facts = leaf_facts(pair.leaf);
    if (!facts) {
      return facts.error();
    }
    Json identifiers = Json::array();
    for (const Identifier& identifier : facts->identifiers) {
      identifiers.push_back(identifier.value);
    }
    pairs.push_back(Json{{"key", pair.key.text()},
                         {"serial", facts->serial},
                         {"not_before", to_rfc3339(facts->not_before)},
                         {"not_after", to_rfc3339(facts->not_after)},
                         {"sha256", to_hex(facts->sha256)},
                         {"chain", pair.chain.size()},
                         {"identifiers", std::move(identifiers)}});
  }
  return pairs;
}

}  // namespace evercert
