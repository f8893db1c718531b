// What is stored, read off the bundles and the index of them.
#include <algorithm>

#include "evercert/lines.h"
#include "serving/base/json.h"
#include "serving/base/limits.h"
#include "serving/certificate/bundle.h"
#include "serving/store/seal.h"

namespace evercert {
namespace {

using Time = std::chrono::system_clock::time_point;
constexpr SealLabel index_label{SealedKind::message, "index of lines"};
constexpr unsigned index_format = 1;

std::vector<Identifier> sorted(std::vector<Identifier> identifiers) {
  std::sort(identifiers.begin(), identifiers.end());
  identifiers.erase(std::unique(identifiers.begin(), identifiers.end()), identifiers.end());
  return identifiers;
}

std::optional<StoredLine> line_of(const Bundle& bundle) {
  StoredLine line{bundle.name, bundle.generation, {}, {}, bundle.issuer, Time::max()};
  for (const BundlePair& pair : bundle.pairs) {
    auto facts = leaf_facts(pair.leaf);
    if (!facts) return std::nullopt;
    if (line.keys.empty()) line.identifiers = sorted(std::move(facts->identifiers));
    line.keys.push_back(pair.key);
    line.not_after = std::min(line.not_after, facts->not_after);
  }
  return line;
}

Json to_json(const StoredLine& line) {
  Json names = Json::array();
  Json addresses = Json::array();
  Json keys = Json::array();
  for (const Identifier& identifier : line.identifiers)
    (identifier.kind == IdentifierKind::dns ? names : addresses).push_back(identifier.value);
  for (const KeySpec& key : line.keys) keys.push_back(key.text());
  return {{"name", line.name},
          {"generation", line.generation},
          {"names", names},
          {"addresses", addresses},
          {"keys", keys},
          {"issuer", line.issuer},
          {"not_after", std::chrono::duration_cast<std::chrono::seconds>(line.not_after.time_since_epoch()).count()}};
}

StoredLine line_from(const Json& json) {
  StoredLine line;
  line.name = json.at("name").get<std::string>();
  line.generation = json.at("generation").get<std::uint64_t>();
  for (const Json& name : json.at("names")) line.identifiers.push_back({IdentifierKind::dns, name.get<std::string>()});
  for (const Json& address : json.at("addresses")) line.identifiers.push_back({IdentifierKind::ip, address.get<std::string>()});
  for (const Json& key : json.at("keys"))
    if (const auto spec = parse_key_spec(key.get<std::string>())) line.keys.push_back(*spec);
  line.issuer = json.at("issuer").get<std::string>();
  line.not_after = Time(std::chrono::seconds(json.at("not_after").get<std::int64_t>()));
  line.identifiers = sorted(std::move(line.identifiers));
  return line;
}

// By folder. One that does not open is as good as none: the bundles are read then.
std::map<std::string, StoredLine> read_index(const StateFiles& state, const SealKey& serving) {
  std::map<std::string, StoredLine> known;
  const auto file = state.read(line_index_file, largest_index);
  if (!file || !*file) return known;
  const Unsealed opened = unseal(serving, index_label, **file);
  if (opened.fault) return known;
  try {
    const auto json = parse_json(opened.content.text(), line_index_file);
    if (!json || json->at("format").get<unsigned>() != index_format) return known;
    for (const Json& one : json->at("lines")) {
      StoredLine line = line_from(one);
      known.emplace(file_name_of(line.name), std::move(line));
    }
  } catch (const Json::exception&) {
    known.clear();
  }
  return known;
}

// A folder tells its line's name, but for what file_name_of() has written otherwise.
std::string name_of_folder(const std::string& folder) {
  constexpr std::string_view wildcard = "_wildcard_";
  const std::string name = folder.starts_with(wildcard) ? "*" + folder.substr(wildcard.size()) : folder;
  return file_name_of(name) == folder ? name : std::string();
}

}  // namespace

Result<std::optional<StoredLine>> stored_line(const StateFiles& state, const SealKey& serving, const std::string& name) {
  const auto generations = generations_of(state, name);
  if (!generations) return generations.error();
  std::size_t attempts = 0;
  for (const std::uint64_t generation : *generations) {
    if (++attempts > most_generations_tried) break;
    const auto file = state.read(bundle_path(name, generation), largest_bundle);
    if (!file || !*file) continue;
    if (const auto bundle = open_bundle(serving, name, generation, **file)) return line_of(*bundle);
  }
  return std::optional<StoredLine>();
}

Result<std::vector<StoredLine>> stored_lines(const StateFiles& state, const SealKey& serving) {
  const auto folders = state.list("certificates");
  if (!folders) return folders.error();
  auto known = read_index(state, serving);
  std::vector<StoredLine> lines;
  for (const std::string& folder : *folders) {
    if (const auto found = known.find(folder); found != known.end()) {
      lines.push_back(std::move(found->second));
      continue;
    }
    const std::string name = name_of_folder(folder);
    if (name.empty()) continue;
    auto line = stored_line(state, serving, name);
    if (line && *line) lines.push_back(std::move(**line));
  }
  std::sort(lines.begin(), lines.end(), [](const StoredLine& a, const StoredLine& b) { return a.name < b.name; });
  return lines;
}

Result<Bytes> seal_line_index(const SealKey& serving, const std::vector<StoredLine>& lines) {
  Json json{{"format", index_format}, {"lines", Json::array()}};
  for (const StoredLine& line : lines) json["lines"].push_back(to_json(line));
  return seal(serving, index_label, bytes_of(dump_json(json)));
}

}  // namespace evercert
