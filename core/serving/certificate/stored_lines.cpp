// What is stored, read off the bundles and the index of them.
#include <algorithm>
#include <iterator>
#include <set>

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

// Looks into folders until the budget ends.
class Look {
 public:
  Look(const StateFiles& state, const SealKey& serving, const LookBudget& budget)
      : state_(state), serving_(serving), budget_(budget), end_(std::chrono::steady_clock::now() + budget.time) {}

  // What the newest generation that opens holds; nullopt: nothing there opens. False: the budget has ended before that was
  // known.
  bool into(const std::string& name, std::optional<StoredLine>& line) {
    if (folders_ >= budget_.folders || has_ended()) return false;
    ++folders_;
    const auto generations = generations_of(state_, name);
    if (!generations) return true;
    for (std::size_t i = 0; i < generations->size() && i < most_generations_tried; ++i) {
      if (has_ended()) return false;
      const std::uint64_t generation = (*generations)[i];
      const auto file = read_bundle(state_, serving_, name, generation);
      if (!file || !*file) continue;
      bytes_ += (*file)->size();
      const auto bundle = open_bundle(serving_, name, generation, **file);
      if (!bundle) continue;
      line = line_of(*bundle);
      return true;
    }
    return true;
  }

 private:
  [[nodiscard]] bool has_ended() const { return bytes_ >= budget_.bytes || std::chrono::steady_clock::now() >= end_; }

  const StateFiles& state_;
  const SealKey& serving_;
  const LookBudget budget_;
  const std::chrono::steady_clock::time_point end_;
  std::size_t folders_ = 0;
  std::size_t bytes_ = 0;
};

// Names of lines that the index does not have, the plan's own first.
std::vector<std::string> names_to_look_for(const std::vector<std::string>& folders, const Plan* plan) {
  std::set<std::string> planned;
  if (plan != nullptr)
    for (const CertificateSpec& certificate : plan->certificates) planned.insert(file_name_of(certificate.name));
  std::vector<std::string> names;
  std::vector<std::string> others;
  for (const std::string& folder : folders)
    if (std::string name = name_of_folder(folder); !name.empty())
      (planned.contains(folder) ? names : others).push_back(std::move(name));
  std::move(others.begin(), others.end(), std::back_inserter(names));
  return names;
}

}  // namespace

StoredLines stored_lines(const StateFiles& state, const SealKey& serving, const Plan* plan, const LookBudget& budget) {
  Look look(state, serving, budget);
  StoredLines stored;
  auto known = read_index(state, serving);
  auto folders = state.list("certificates");
  if (!folders) {
    stored.trouble = folders.error().message +
                     "; only the index of what is stored is believed: see who made what lies in "
                     "state/certificates";
    for (auto& [folder, line] : known) stored.lines.push_back(std::move(line));
    folders = std::vector<std::string>();
  }
  std::erase_if(*folders, [&](const std::string& folder) {
    const auto found = known.find(folder);
    if (found == known.end()) return false;
    stored.lines.push_back(std::move(found->second));
    return true;
  });
  const std::vector<std::string> names = names_to_look_for(*folders, plan);
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::optional<StoredLine> line;
    if (!look.into(names[i], line)) {
      stored.trouble = std::to_string(names.size() - i) + " of " + std::to_string(names.size()) +
                       " folders in state/certificates that are not in the index of what is stored were not looked at, so that "
                       "nobody waits for them; there are too many, or their files are too large: see who made them, and remove "
                       "those that belong to no certificate of yours";
      break;
    }
    if (line) stored.lines.push_back(std::move(*line));
  }
  std::sort(stored.lines.begin(), stored.lines.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return stored;
}

Result<Bytes> seal_line_index(const SealKey& serving, const std::vector<StoredLine>& lines) {
  Json json{{"format", index_format}, {"lines", Json::array()}};
  for (const StoredLine& line : lines) json["lines"].push_back(to_json(line));
  return seal(serving, index_label, bytes_of(dump_json(json)));
}

}  // namespace evercert
