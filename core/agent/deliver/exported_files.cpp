#include "agent/deliver/exported_files.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "evercert/state.h"
#include "serving/base/encoding.h"
#include "serving/certificate/kept_pem.h"

namespace evercert {
namespace {

// A file that is written holds the last but one of them when its writing was interrupted.
constexpr std::size_t most_remembered = 4;
constexpr std::size_t id_size = 16;

std::vector<std::string> lines_of(const Result<std::optional<StoredObject>>& record) {
  std::vector<std::string> lines;
  if (!record || !*record) return lines;
  std::string line;
  for (const std::uint8_t byte : (*record)->value) {
    if (byte != '\n')
      line += static_cast<char>(byte);
    else
      lines.push_back(std::exchange(line, {}));
  }
  return lines;
}

// What lets a server start before the first certificate: issued by itself, at whatever time, and for none of the names.
bool is_stand_in(const Secret& present, BytesView leaf, const Bundle& newest) {
  if (judge_pem(present, {}, {}) != KeptPem::stand_in) return false;
  const auto facts = leaf_facts(leaf);
  if (!facts) return false;
  const auto& names = newest.identifiers;
  return std::find_first_of(names.begin(), names.end(), facts->identifiers.begin(), facts->identifiers.end()) == names.end();
}

bool holds(const Bundle& bundle, BytesView leaf) {
  return std::any_of(bundle.pairs.begin(), bundle.pairs.end(),
                     [&](const BundlePair& pair) { return std::ranges::equal(pair.leaf, leaf); });
}

}  // namespace

ExportedFiles::ExportedFiles(Store& store, SealKey serving, const std::string& directory)
    : store_(store), serving_(std::move(serving)), id_(to_hex(sha256(bytes_of(directory))).substr(0, id_size)) {}

bool ExportedFiles::is_ours(const std::string& file, const Secret& present, const Bundle& newest) {
  if (present.view().empty()) return true;  // nobody's
  const Bytes leaf = first_certificate(present);
  if (leaf.empty()) return false;
  if (holds(newest, leaf) || is_stand_in(present, leaf, newest)) return true;
  const auto known = lines_of(store_.get(record_of(file)));
  return std::find(known.begin(), known.end(), to_hex(sha256(leaf))) != known.end() || is_of_line(leaf, newest.name);
}

void ExportedFiles::remember(const std::string& file, const Secret& content) {
  const std::string digest = to_hex(sha256(first_certificate(content)));
  auto known = lines_of(store_.get(record_of(file)));
  if (!known.empty() && known.back() == digest) return;
  known.push_back(digest);
  std::string text;
  for (std::size_t at = known.size() - std::min(known.size(), most_remembered); at < known.size(); ++at)
    text += known[at] + "\n";
  Store::PutOptions options;
  options.durability = Durability::process;
  static_cast<void>(store_.put(record_of(file), bytes_of(text), options).has_value());
}

std::string ExportedFiles::record_of(const std::string& file) const {
  return "exports/" + id_ + "/" + file;
}

// Files of a release that remembered nothing, and what was taken over from where it lies.
bool ExportedFiles::is_of_line(BytesView leaf, const std::string& certificate) {
  const auto keys = store_.list("certificates/" + file_name_of(certificate) + "/");
  if (!keys) return false;
  return std::any_of(keys->begin(), keys->end(), [&](const std::string& key) {
    const auto generation = generation_in(std::string_view(key).substr(key.rfind('/') + 1));
    const auto object = generation ? store_.get(key) : Result<std::optional<StoredObject>>(std::optional<StoredObject>());
    if (!object || !*object) return false;
    const auto bundle = open_bundle(serving_, certificate, *generation, (*object)->value);
    return bundle && holds(*bundle, leaf);
  });
}

}  // namespace evercert
