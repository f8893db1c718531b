// Which file systems keep their files on another machine, where locks and renames may not be what we build on.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace evercert {

// The name of the network file system with this statfs(2) number, or nullopt for a local one.
std::optional<std::string> network_file_system(unsigned long number);

// The network file system that `path` lies on, or would lie on once made: its nearest existing parent decides.
std::optional<std::string> network_file_system_of(const std::string& path);

using FileSystemProbe = std::function<std::optional<std::string>(const std::string& path)>;

}  // namespace evercert
