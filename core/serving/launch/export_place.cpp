// Whether exports can succeed, told before anything has to be exported.
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "evercert/launch.h"

namespace evercert {

namespace {

std::vector<gid_t> groups_of(const char* user, gid_t group) {
  std::vector<gid_t> groups(64);
  int count = static_cast<int>(groups.size());
  if (::getgrouplist(user, group, groups.data(), &count) < 0) {
    groups.resize(static_cast<std::size_t>(count));
    ::getgrouplist(user, group, groups.data(), &count);
  }
  groups.resize(static_cast<std::size_t>(std::max(count, 0)));
  return groups;
}

bool may_write(const struct stat& directory, uid_t user, bool in_group) {
  const mode_t needed = S_IWOTH | S_IXOTH;
  const mode_t mode = directory.st_uid == user ? directory.st_mode >> 6U
                      : in_group               ? directory.st_mode >> 3U
                                               : directory.st_mode;
  return user == 0 || (mode & needed) == needed;
}

}  // namespace

std::optional<std::string> export_trouble(const std::string& path, uid_t user, gid_t group) {
  if (path.empty()) return std::nullopt;
  const passwd* const entry = ::getpwuid(user);
  const std::string name = entry == nullptr ? std::to_string(user) : entry->pw_name;
  const std::string what = "export_path " + path;
  const std::string later = "; until then nothing is exported: ";
  struct stat directory {};
  if (::stat(path.c_str(), &directory) != 0) {
    return what + ": " + std::strerror(errno) + later + "make it (install -d -m 750 -o " + name + " " + path + ")";
  }
  if (!S_ISDIR(directory.st_mode))
    return what + " is no directory" + later + "name one that the user " + name + " may write to";
  const auto groups = groups_of(name.c_str(), group);
  const bool in_group = std::find(groups.begin(), groups.end(), directory.st_gid) != groups.end();
  if (!may_write(directory, user, in_group)) {
    return what + " is not to be written to by " + name + ", the agent's user" + later + "give it to that user (chown " + name +
           " " + path + ")";
  }
  if (in_group || user == 0 || (directory.st_mode & S_ISGID) != 0) return std::nullopt;
  const ::group* const owner = ::getgrgid(directory.st_gid);
  const std::string group_name = owner == nullptr ? std::to_string(directory.st_gid) : owner->gr_name;
  return what + " belongs to the group " + group_name + ", in which " + name +
         ", the agent's user, is not: files there are not given to that group; have the directory give it (chmod g+s " + path +
         "), or add the user (usermod -aG " + group_name + " " + name + ")";
}

}  // namespace evercert
