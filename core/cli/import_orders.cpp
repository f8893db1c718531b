// import issuer: only the agent talks to CAs; the private keys that existing certificates belong to are read here, where root
// may read them.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <ostream>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"
#include "serving/key/key_provider.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

Result<std::vector<std::string>> files_at(const std::string& path) {
  struct stat facts {};
  if (auto trouble = path_trouble(path)) return *trouble;
  if (::stat(path.c_str(), &facts) != 0) return system_error(ErrorKind::storage, "cannot read " + path, errno);
  if (!S_ISDIR(facts.st_mode)) return std::vector<std::string>{path};
  struct Closer {
    void operator()(DIR* directory) const noexcept { ::closedir(directory); }
  };
  const std::unique_ptr<DIR, Closer> directory(::opendir(path.c_str()));
  if (!directory) return system_error(ErrorKind::storage, "cannot open " + path, errno);
  std::vector<std::string> files;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string file = path + "/" + entry->d_name;
    if (entry->d_name[0] != '.' && ::stat(file.c_str(), &facts) == 0 && S_ISREG(facts.st_mode)) files.push_back(file);
  }
  std::sort(files.begin(), files.end());
  return files;
}

// nullopt: there is no private key in the file, which is an error only where the file itself was named.
Result<std::optional<Secret>> key_in(const std::string& file) {
  auto content = read_file(AT_FDCWD, file, largest_pem);
  if (!content) return content.error();
  const Secret pem(content->has_value() ? std::move(**content) : Bytes());
  if (pem.text().find("PRIVATE KEY-----") == std::string_view::npos) return std::optional<Secret>();
  auto key = read_pem_key(pem);
  if (!key) return key.error().with_prefix(file);
  if (auto spec = spec_of(key->handle.get()); !spec) return spec.error().with_prefix(file);
  return std::optional<Secret>(std::move(key->bytes));
}

Result<Json> keys_at(const std::vector<std::string>& paths, Surroundings& surroundings) {
  Json keys = Json::array();
  for (const auto& path : paths) {
    auto files = files_at(path);
    if (!files) return files.error();
    const bool named = files->size() == 1 && files->front() == path;
    for (const auto& file : *files) {
      auto key = key_in(file);
      if (!key && named) return key.error();
      if (!key) {
        // One that is not for us, such as an encrypted one, is no reason to leave out its neighbours.
        surroundings.err << printable(key.error().message) << "\n";
        continue;
      }
      if (*key) {
        keys.push_back(to_base64((*key)->view()));
      } else if (named) {
        return Error{ErrorKind::configuration, file + " holds no private key in PEM form"};
      }
    }
  }
  return keys;
}

}  // namespace

int import_orders(const Request& request, Surroundings& surroundings) {
  const OrderWish& orders = request.orders;
  auto keys = keys_at(orders.keys, surroundings);
  if (!keys) return blame_words(keys.error(), request, surroundings);
  Json message{{"verb", "import"},    {"issuer", request.source_path}, {"open", orders.open},
               {"with", orders.with}, {"names", request.names},        {"keys", std::move(*keys)}};
  for (const auto& [member, value] :
       {std::pair("group", &orders.group), std::pair("since", &orders.since), std::pair("until", &orders.until)}) {
    if (!value->empty()) message[member] = *value;
  }
  return ask_agent(request, message, surroundings);
}

}  // namespace evercert
