#include "serving/platform/file_system.h"

#include <sys/vfs.h>

#include <cerrno>

namespace evercert {

std::optional<std::string> network_file_system(unsigned long number) {
  // The numbers of linux/magic.h and of file systems outside the kernel's tree; the field is signed on some machines.
  switch (number & 0xffffffffUL) {
    case 0x6969:
      return "NFS";
    case 0x517b:
    case 0xff534d42:
    case 0xfe534d42:
      return "SMB";
    case 0x65735546:
      return "FUSE";
    case 0x00c36400:
      return "Ceph";
    case 0x5346414f:
    case 0x6b414653:
      return "AFS";
    case 0x01021997:
      return "9p";
    case 0x73757245:
      return "Coda";
    case 0x0bd00bd0:
      return "Lustre";
    case 0x47504653:
      return "GPFS";
    default:
      return std::nullopt;
  }
}

std::optional<std::string> network_file_system_of(const std::string& path) {
  std::string existing = path;
  struct statfs found {};
  while (::statfs(existing.c_str(), &found) != 0) {
    const std::size_t slash = existing.rfind('/');
    if (errno != ENOENT || slash == std::string::npos || existing == "/") return std::nullopt;
    existing.erase(slash == 0 ? 1 : slash);
  }
  return network_file_system(static_cast<unsigned long>(found.f_type));
}

}  // namespace evercert
