// Reading below state_path/state: names, listings, files.
#include "evercert/state.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "evercert/descriptor.h"
#include "serving/base/bounds.h"
#include "serving/base/encoding.h"
#include "serving/platform/directory.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

constexpr std::size_t longest_file_name = 200;

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

// An underscore that stood for itself here could be taken for the start of an escape.
bool looks_like_escape(std::string_view rest) {
  return rest.starts_with("_wildcard") || (rest.size() >= 3 && is_hex(rest[1]) && is_hex(rest[2]));
}

}  // namespace

Result<StateReader> StateReader::open(const std::string& state_path) {
  const std::string path = state_path + "/state";
  Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory.valid()) {
    return system_error(ErrorKind::storage, "the state directory \"" + path + "\" cannot be opened", errno);
  }
  return StateReader(std::move(directory));
}

Result<std::optional<Bytes>> StateReader::read(const std::string& path, std::size_t limit) const {
  return read_file(directory_.get(), path, limit);
}

Result<std::optional<Bytes>> StateReader::read_start(const std::string& path, std::size_t size) const {
  return read_file_start(directory_.get(), path, size);
}

Result<std::vector<std::string>> StateReader::list(const std::string& path) const {
  std::vector<std::string> names;
  Descriptor directory(open_beneath(directory_.get(), path, O_RDONLY | O_DIRECTORY));
  if (!directory.valid() && errno == ENOENT) return names;
  if (!directory.valid()) return system_error(ErrorKind::storage, "cannot open the directory " + path, errno);
  auto entries = entries_of(std::move(directory));
  if (!entries) return entries.error();
  for (DirectoryEntry& entry : *entries) names.push_back(std::move(entry.name));
  return names;
}

std::string file_name_of(std::string_view certificate) {
  std::string name;
  for (std::size_t at = 0; at < certificate.size(); ++at) {
    const char c = certificate[at];
    const bool plain = is_plain(c) && !(c == '.' && at == 0) && !(c == '_' && looks_like_escape(certificate.substr(at)));
    if (c == '*') {
      name += "_wildcard_";
    } else if (plain) {
      name += c;
    } else {
      const auto byte = static_cast<std::uint8_t>(c);
      name += "_" + to_hex({&byte, 1}) + "_";
    }
  }
  if (name.empty()) return "_empty_";
  if (name.size() <= longest_file_name) return name;
  const BytesView whole(reinterpret_cast<const std::uint8_t*>(certificate.data()), certificate.size());
  return name.substr(0, longest_file_name - 40) + "_long_" + to_hex(sha256(whole)).substr(0, 32);
}

std::optional<std::uint64_t> generation_in(std::string_view file_name) {
  constexpr std::string_view ending = ".bundle";
  if (!file_name.ends_with(ending) || file_name.starts_with('0')) return std::nullopt;
  file_name.remove_suffix(ending.size());
  return whole_number_in(file_name, 1, highest_generation);
}

Result<std::vector<std::uint64_t>> generations_of(const StateFiles& state, std::string_view certificate) {
  auto names = state.list("certificates/" + file_name_of(certificate));
  if (!names) return names.error();
  std::vector<std::uint64_t> generations;
  for (const std::string_view name : *names) {
    if (const auto number = generation_in(name)) generations.push_back(*number);
  }
  std::sort(generations.begin(), generations.end(), std::greater<>());
  return generations;
}

}  // namespace evercert
