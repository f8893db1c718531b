// The two sources of files that a configuration names.
#include "serving/platform/files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "evercert/descriptor.h"
#include "evercert/plan.h"
#include "serving/config/environment.h"
#include "serving/config/words.h"

namespace evercert {

Result<Secret> DiskFiles::read(const std::string& path, Care care) {
  if (path.starts_with(environment_prefix)) {
    auto value = environment_secret(path.substr(std::strlen(environment_prefix)));
    if (!value) return configuration_error(path + ": there is no such variable in the server's environment, or it is empty");
    carried_.insert_or_assign(path, *value);
    return std::move(*value);
  }
  if (path.starts_with(credential_prefix)) {
    const std::string file = credential_path(path.substr(std::strlen(credential_prefix)));
    if (file.empty()) return configuration_error(path + ": the service manager lays out no credentials; add LoadCredential=");
    auto content = read(file, care);
    if (content) carried_.insert_or_assign(path, *content);
    return content;
  }
  // O_NONBLOCK: a named pipe must not stop the server's start.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.valid()) return system_error(ErrorKind::configuration, "cannot read " + path, errno);
  struct stat found {};
  if (::fstat(file.get(), &found) != 0) return system_error(ErrorKind::configuration, "cannot read " + path, errno);
  if (!S_ISREG(found.st_mode)) return configuration_error(path + " is not a regular file");
  if (care == Care::secret && (found.st_mode & (S_IROTH | S_IWOTH)) != 0)
    return configuration_error(path + " holds a secret and everybody can read or change it; run: chmod o-rw " + path);
  if (static_cast<std::size_t>(found.st_size) > largest_named_file) return configuration_error(path + " is larger than 1 MiB");
  auto content = read_descriptor(file.get(), largest_named_file);
  if (!content) return configuration_error("cannot read " + path + ": " + content.error().message);
  Secret secret(std::move(*content));
  carried_.insert_or_assign(path, secret);
  return secret;
}

Result<Secret> CarriedFiles::read(const std::string& path, Care) {
  const auto found = files_.find(path);
  if (found == files_.end()) return configuration_error(path + " did not come along with the configuration");
  return found->second;
}

}  // namespace evercert
